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
    CgroupUsage, RARE_EVERY_TICKS, START_TICKS, lists,
    text::{BUFFER_BYTES, limit, number},
};

/// The number of file descriptors reserved for other uses, if the limit is high enough.
const OTHERS_MAX: usize = 4096;
/// The number of ticks at which a missing file is retried.
const ATTEMPTS_MAX: u8 = 5;

/// The ticks at which a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At every tick.
    EachTick,
    /// When the container has used CPU time since the last tick. For values that only its own tasks can change.
    Worked,
    /// As `Worked`, and at every third tick. For values that also grow while tasks wait, or when the kernel works for
    /// the container later.
    WorkedOrThird,
    /// At the first ticks, and then at every tenth. For values that change rarely or are expensive.
    Rarely,
}

/// One file and how to parse it.
pub(super) struct Source {
    /// The file name.
    pub(super) file: &'static str,
    /// The ticks at which it is read.
    pub(super) when: When,
    /// Parses its text into the usage. Malformed text leaves the usage unchanged.
    pub(super) parse: fn(&str, &mut CgroupUsage),
}

/// Processes and threads. These files are the same in v1 and v2. The list of processes comes after the number of
/// threads, because its parser compares them.
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

/// The shared buffer, and the number of files held open.
pub(super) struct Reader {
    buffer: Box<[u8; BUFFER_BYTES]>,
    pub(super) open: usize,
    pub(super) open_max: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { buffer: Box::new([0; BUFFER_BYTES]), open: 0, open_max: most_open() }
    }

    /// Reads a file. The kernel returns long lists one page at a time, so they need `to_end`; all other files are
    /// returned by one read.
    fn read<'a>(&'a mut self, file: &File, to_end: bool) -> io::Result<&'a str> {
        let mut bytes = file.read_at(self.buffer.as_mut_slice(), 0)?;
        let mut more = bytes;
        while to_end && more > 0 && bytes < BUFFER_BYTES {
            more = file.read_at(&mut self.buffer[bytes..], bytes as u64)?;
            bytes += more;
        }
        let mut text = &self.buffer[..bytes];
        if bytes == BUFFER_BYTES {
            // The last line may be cut within a number.
            text = &text[..text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)];
        }
        std::str::from_utf8(text).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}

/// The limit on open files of this process.
fn open_files_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one `rlimit` to the address passed, which is that of an `rlimit`.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if outcome == 0 { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 0 }
}

/// Maximum number of files held open for containers: the limit on open files less a reserve. Files beyond it are opened
/// at each tick, at several times the cost.
fn most_open() -> usize {
    let limit = open_files_limit();
    limit.saturating_sub(OTHERS_MAX).max(limit / 2)
}

/// The files of one container.
pub(super) struct ContainerFiles {
    files: Vec<TrackedFile>,
    ticks: u32,
    /// The tick at which rarely read files are due, which differs between containers to spread the work.
    phase: u32,
    /// CPU time at the last tick.
    usage_seen_ns: Option<u64>,
    /// True once any file was read.
    readable: bool,
}

struct TrackedFile {
    source: &'static Source,
    path: PathBuf,
    state: FileState,
}

enum FileState {
    /// Never read, after this many attempts.
    Missing(u8),
    /// Held open.
    Open(File),
    /// Opened for each read.
    Closed,
    /// Not retried any more.
    GivenUp,
}

impl ContainerFiles {
    pub(super) fn new(directories: impl Iterator<Item = (PathBuf, &'static [Source])>, phase: u32) -> Self {
        let files = directories.flat_map(|(directory, sources)| {
            sources.iter().map(move |source| TrackedFile {
                source,
                path: directory.join(source.file),
                state: FileState::Missing(0),
            })
        });
        Self { files: files.collect(), ticks: 0, phase, usage_seen_ns: None, readable: false }
    }

    /// Reads the files that are due at this tick.
    ///
    /// # Errors
    /// If no file could ever be read and all are given up. The error is returned once.
    pub(super) fn read(&mut self, reader: &mut Reader, usage: &mut CgroupUsage) -> anyhow::Result<()> {
        let turn = self.ticks.wrapping_add(self.phase).is_multiple_of(RARE_EVERY_TICKS);
        let rare_due = self.ticks < START_TICKS || turn;
        let third_due = self.ticks.wrapping_add(self.phase).is_multiple_of(3);
        self.ticks = self.ticks.wrapping_add(1);
        let mut last_failure = None;
        let mut hopeless = true;
        for file in &mut self.files {
            let missing = matches!(file.state, FileState::Missing(_));
            let due = match file.source.when {
                EachTick => true,
                // The file with the CPU time comes before these files.
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
            hopeless &= matches!(file.state, FileState::GivenUp);
        }
        self.usage_seen_ns = usage.cpu.usage_ns;
        match last_failure {
            Some((path, error)) if hopeless && !self.readable => Err(error).with_context(|| {
                format!("read any cgroup file of the container, most recently {}", path.display())
            }),
            _ => Ok(()),
        }
    }

    /// Closes the files.
    pub(super) fn release(self, reader: &mut Reader) {
        reader.open -= self.files.iter().filter(|file| matches!(file.state, FileState::Open(_))).count();
    }
}

impl TrackedFile {
    /// True if the file was read.
    fn read(&mut self, reader: &mut Reader, usage: &mut CgroupUsage) -> io::Result<bool> {
        match &self.state {
            FileState::GivenUp => Ok(false),
            FileState::Open(file) => match reader.read(file, self.source.when == Rarely) {
                Ok(text) => {
                    (self.source.parse)(text, usage);
                    Ok(true)
                }
                // The cgroup has been removed.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
                Err(error) => Err(error),
            },
            FileState::Missing(_) | FileState::Closed => self.open(reader, usage),
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
                    FileState::Closed
                } else {
                    reader.open += 1;
                    FileState::Open(file)
                };
                Ok(true)
            }
            Err(error) => {
                // A file that existed before was removed with its container and need not be given up.
                if let FileState::Missing(attempts) = self.state {
                    let attempts = attempts + 1;
                    self.state = if attempts < ATTEMPTS_MAX {
                        FileState::Missing(attempts)
                    } else {
                        FileState::GivenUp
                    };
                }
                Err(error)
            }
        }
    }
}
