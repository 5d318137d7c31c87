//! The files of one container: when they are opened, read, and given up.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use anyhow::Context as _;

use self::When::{EachTick, Rarely, Worked, WorkedOrThird};
use super::{
    CgroupUsage, RARE_EVERY_TICKS, SETTLE_TICKS, lists,
    text::{BUFFER_BYTES, limit, number},
};

/// Open files that are for others, where there are enough.
const OTHERS_MAX: usize = 4096;
/// At how many ticks a missing file is looked for.
const ATTEMPTS_MAX: u8 = 5;

/// At which ticks a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// All.
    EachTick,
    /// Those before which the container has used CPU time, for what nothing but its own tasks can change.
    Worked,
    /// Those too, and every third: what grows while its tasks wait, or is done for it later.
    WorkedOrThird,
    /// The first, and then every tenth: what changes rarely or is dear.
    Rarely,
}

/// One file and what it tells.
pub(super) struct Source {
    /// Its name.
    pub(super) file: &'static str,
    /// At which ticks it is read.
    pub(super) when: When,
    /// Takes its text into the usage. Text that is not understood leaves the usage as it was.
    pub(super) parse: fn(&str, &mut CgroupUsage),
}

/// Processes and threads; these files are the same in v1 and v2. The list comes after the number of threads, which it is
/// held against.
pub(super) const PIDS: &[Source] = &[
    Source {
        file: "pids.current",
        when: Worked,
        parse: |text, usage| usage.processes.threads = number(text).or(usage.processes.threads),
    },
    Source { file: "pids.max", when: Rarely, parse: |text, usage| usage.processes.threads_max = limit(text) },
    Source {
        file: "cgroup.procs",
        when: Rarely,
        parse: |text, usage| lists::processes(text, &mut usage.processes),
    },
];

/// The buffer, and how many files are held open.
pub(super) struct Reader {
    buffer: Box<[u8; BUFFER_BYTES]>,
    pub(super) open: usize,
    pub(super) open_max: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { buffer: Box::new([0; BUFFER_BYTES]), open: 0, open_max: most_open() }
    }

    /// A file's text. The kernel gives lists of many records a page at a time, hence `to_end`; all else comes in one
    /// piece.
    fn read<'a>(&'a mut self, file: &File, to_end: bool) -> io::Result<&'a str> {
        let mut bytes = file.read_at(self.buffer.as_mut_slice(), 0)?;
        let mut more = bytes;
        while to_end && more > 0 && bytes < BUFFER_BYTES {
            more = file.read_at(&mut self.buffer[bytes..], bytes as u64)?;
            bytes += more;
        }
        let mut text = &self.buffer[..bytes];
        if bytes == BUFFER_BYTES {
            // The last line may have been cut within a number.
            text = &text[..text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)];
        }
        std::str::from_utf8(text).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}

/// The files that this process may have open.
fn open_files_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one `rlimit` to the address it is given, which is one.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if outcome == 0 { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 0 }
}

/// All but some are for containers; what is beyond is opened at each tick, at several times the cost.
fn most_open() -> usize {
    let limit = open_files_limit();
    limit.saturating_sub(OTHERS_MAX).max(limit / 2)
}

/// The files of one container.
pub(super) struct Tracked {
    files: Vec<Tracking>,
    ticks: u32,
    /// At which tick of so many the rare files' turn is, so that not all containers have theirs at once.
    phase: u32,
    /// CPU time at the last tick.
    usage_seen_ns: Option<u64>,
    /// True once anything could be read.
    readable: bool,
}

struct Tracking {
    source: &'static Source,
    path: PathBuf,
    state: State,
}

enum State {
    /// Not read yet, after so many attempts.
    Missing(u8),
    /// Held open.
    Open(File),
    /// Opened for each reading.
    Closed,
    /// No more looked for.
    GivenUp,
}

impl Tracked {
    pub(super) fn new(directories: impl Iterator<Item = (PathBuf, &'static [Source])>, phase: u32) -> Self {
        let files = directories.flat_map(|(directory, sources)| {
            sources.iter().map(move |source| Tracking {
                source,
                path: directory.join(source.file),
                state: State::Missing(0),
            })
        });
        Self { files: files.collect(), ticks: 0, phase, usage_seen_ns: None, readable: false }
    }

    /// Reads what is due at this tick.
    ///
    /// # Errors
    /// Once, when none of the files could ever be read and none is looked for any more.
    pub(super) fn read(&mut self, reader: &mut Reader, usage: &mut CgroupUsage) -> anyhow::Result<()> {
        let turn = self.ticks.wrapping_add(self.phase).is_multiple_of(RARE_EVERY_TICKS);
        let rare_due = self.ticks < SETTLE_TICKS || turn;
        let third_due = self.ticks.wrapping_add(self.phase).is_multiple_of(3);
        self.ticks = self.ticks.wrapping_add(1);
        let mut last_failure = None;
        let mut hopeless = true;
        for file in &mut self.files {
            let missing = matches!(file.state, State::Missing(_));
            let due = match file.source.when {
                EachTick => true,
                // The file with the CPU time comes before those.
                when @ (Worked | WorkedOrThird) => {
                    let worked = usage.cpu.usage_ns.is_none() || usage.cpu.usage_ns != self.usage_seen_ns;
                    missing || rare_due || worked || (when == WorkedOrThird && third_due)
                }
                Rarely => missing || rare_due,
            };
            if !due {
                continue;
            }
            match file.read(reader, usage) {
                Ok(read) => self.readable |= read,
                Err(error) => last_failure = Some((&file.path, error)),
            }
            hopeless &= matches!(file.state, State::GivenUp);
        }
        self.usage_seen_ns = usage.cpu.usage_ns;
        match last_failure {
            Some((path, error)) if hopeless && !self.readable => Err(error)
                .with_context(|| format!("read any cgroup file of the container, lastly {}", path.display())),
            _ => Ok(()),
        }
    }

    /// Closes the files.
    pub(super) fn release(self, reader: &mut Reader) {
        reader.open -= self.files.iter().filter(|file| matches!(file.state, State::Open(_))).count();
    }
}

impl Tracking {
    /// True where there was something to read.
    fn read(&mut self, reader: &mut Reader, usage: &mut CgroupUsage) -> io::Result<bool> {
        match &self.state {
            State::GivenUp => Ok(false),
            State::Open(file) => match reader.read(file, self.source.when == Rarely) {
                Ok(text) => {
                    (self.source.parse)(text, usage);
                    Ok(true)
                }
                // The cgroup is gone, and with it what there was to read.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
                Err(error) => Err(error),
            },
            State::Missing(_) | State::Closed => self.open(reader, usage),
        }
    }

    fn open(&mut self, reader: &mut Reader, usage: &mut CgroupUsage) -> io::Result<bool> {
        let file = File::open(&self.path).and_then(|file| {
            (self.source.parse)(reader.read(&file, self.source.when == Rarely)?, usage);
            Ok(file)
        });
        match file {
            Ok(file) => {
                self.state = if self.source.when == Rarely || reader.open >= reader.open_max {
                    State::Closed
                } else {
                    reader.open += 1;
                    State::Open(file)
                };
                Ok(true)
            }
            Err(error) => {
                // A file that was there once went with its container, and there is no need to give it up.
                if let State::Missing(attempts) = self.state {
                    let attempts = attempts + 1;
                    self.state =
                        if attempts < ATTEMPTS_MAX { State::Missing(attempts) } else { State::GivenUp };
                }
                Err(error)
            }
        }
    }
}
