//! When the models of a container were loaded, from samples of the positions of its open model files.
//!
//! A load begins with the sample that finds a model file open for the first time, and ends with the last sample that finds
//! one read further or closed. It counts as soon as there are two such samples: a file that was read before the first one and
//! stays open would have a load of no duration. A pause of more than [`PAUSE`] ends it. A file that was open at the first sample of a
//! container counts from there.
//!
//! One system call may read a whole file. The position changes only at the end of the call. Until then, bytes that the process
//! fetches from disks show that it reads. When a file is closed, its rest counts as far as the process has read that much since
//! the last sample. A file that is open between two samples only is not seen.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{
    MODEL_BYTES_MIN,
    files::{Extent, OpenFile},
};
use crate::{containers::process::io_counts::Io, snapshot::inference::ModelLoad};

/// Maximum pause within a load.
const PAUSE: Duration = Duration::from_secs(5);

/// A single system call is assumed to read for at most this long. A mapped file may stay open, while its process fetches
/// something else.
const CALL_MAX: Duration = Duration::from_secs(60);

/// The loads of one container.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// How far each open file was read at most; `None` before the first sample.
    open: Option<HashMap<OpenFile, Known>>,
    /// What the processes had read that have one open.
    read: HashMap<u32, Io>,
    current: Option<Current>,
    last: Option<ModelLoad>,
    /// Whether a file was read that is large enough for a model.
    pub(super) has_read_model: bool,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    begun: Instant,
    read: Instant,
    bytes: u64,
}

impl Current {
    fn load(&self) -> Option<ModelLoad> {
        let load = ModelLoad { duration: self.read.duration_since(self.begun), read_bytes: self.bytes };
        (self.bytes >= MODEL_BYTES_MIN && self.read > self.begun).then_some(load)
    }
}

/// An open file.
#[derive(Clone, Copy, Debug)]
struct Known {
    extent: Extent,
    /// When it was first seen.
    since: Instant,
    /// Its position then.
    first_position: u64,
}

/// What processes have read since the last sample.
struct Since<'a> {
    before: HashMap<u32, Io>,
    now: &'a HashMap<u32, Io>,
}

impl Since<'_> {
    fn has_fetched(&self, process: u32) -> bool {
        let both = self.before.get(&process).zip(self.now.get(&process));
        both.is_some_and(|(before, now)| now.fetched_bytes > before.fetched_bytes)
    }

    /// Attributes what a process has read to a file, up to this number of bytes. Returns how many that are.
    fn attribute(&mut self, process: u32, most: u64) -> u64 {
        let Some((before, now)) = self.before.get_mut(&process).zip(self.now.get(&process)) else { return 0 };
        let taken = now.read_bytes.saturating_sub(before.read_bytes).min(most);
        before.read_bytes += taken;
        taken
    }
}

impl Loads {
    /// Adds a sample: all open model files. `io` returns what a process has read so far.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        files: &[(OpenFile, Extent)],
        io: impl Fn(u32) -> Option<Io>,
    ) {
        let known = self.open.take();
        let is_first = known.is_none();
        let mut known = known.unwrap_or_default();
        let files_of = known.keys().chain(files.iter().map(|(file, _)| file));
        let processes: HashSet<u32> = files_of.map(|file| file.process()).collect();
        let read = processes.into_iter().filter_map(|process| Some((process, io(process)?))).collect();
        let mut since = Since { before: std::mem::replace(&mut self.read, read), now: &self.read };
        let mut open = HashMap::with_capacity(files.len());
        let (mut is_read, mut bytes) = (false, 0_u64);
        for (file, extent) in files {
            let known = known.remove(file);
            let before = known.map(|known| known.extent.position_bytes);
            let position_bytes = before.unwrap_or(0).max(extent.position_bytes);
            let (since_open, first_position) =
                known.map_or((now, position_bytes), |known| (known.since, known.first_position));
            if !is_first {
                let further = position_bytes - before.unwrap_or(0);
                // A file that has been read in pieces so far has another position.
                let may_be_read = position_bytes == first_position
                    && extent.size_bytes.is_some_and(|size_bytes| size_bytes > position_bytes)
                    && now.duration_since(since_open) < CALL_MAX;
                is_read |=
                    before.is_none() || further > 0 || (may_be_read && since.has_fetched(file.process()));
                bytes = bytes.saturating_add(further);
                since.attribute(file.process(), further);
            }
            self.has_read_model |= position_bytes >= MODEL_BYTES_MIN;
            let extent = Extent { position_bytes, ..*extent };
            open.insert(*file, Known { extent, first_position, since: since_open });
        }
        // The others were closed.
        let was_closed = !known.is_empty();
        for (file, Known { extent: Extent { position_bytes, size_bytes }, .. }) in known {
            let rest = size_bytes.unwrap_or(0).saturating_sub(position_bytes);
            let read = since.attribute(file.process(), rest);
            bytes = bytes.saturating_add(read);
            self.has_read_model |= position_bytes.saturating_add(read) >= MODEL_BYTES_MIN;
        }
        self.open = Some(open);
        if self.current.is_some_and(|current| now.duration_since(current.read) > PAUSE) {
            self.last = self.load();
            self.current = None;
        }
        match &mut self.current {
            Some(current) if is_read || was_closed => {
                current.read = now;
                current.bytes = current.bytes.saturating_add(bytes);
            }
            None if is_read => self.current = Some(Current { begun: now, read: now, bytes }),
            _ => {}
        }
    }

    /// The load in progress, or else the last one.
    pub(super) fn load(&self) -> Option<ModelLoad> {
        self.current.as_ref().and_then(Current::load).or(self.last)
    }

    /// Whether models are loaded now.
    pub(super) const fn is_loading(&self) -> bool {
        self.current.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    struct Watched {
        loads: Loads,
        begun: Instant,
    }

    impl Watched {
        fn new() -> Self {
            let mut watched = Self { loads: Loads::default(), begun: Instant::now() };
            watched.at(0, &[]);
            watched
        }

        /// The load after a sample, in ms and bytes.
        fn at(&mut self, ms: u64, files: &[(u32, u64)]) -> Option<(u64, u64)> {
            self.at_with(ms, files, None)
        }

        /// The same with 256 MiB as the size of the files, and with what their process has read and fetched from disks.
        fn at_with(&mut self, ms: u64, files: &[(u32, u64)], io: Option<(u64, u64)>) -> Option<(u64, u64)> {
            let size_bytes = io.map(|_| 256 * MIB);
            let extent = |position_bytes| Extent { position_bytes, size_bytes };
            let files: Vec<_> =
                files.iter().map(|(file, bytes)| (OpenFile::of(*file), extent(*bytes))).collect();
            let io = io.map(|(read_bytes, fetched_bytes)| Io { read_bytes, fetched_bytes, written_bytes: 0 });
            self.loads.sample(self.begun + Duration::from_millis(ms), &files, |_| io);
            self.loads.load().map(|load| (u64::try_from(load.duration.as_millis()).unwrap(), load.read_bytes))
        }
    }

    #[test]
    fn a_load_lasts_from_the_first_open_file_to_the_last_read_or_close() {
        let mut watched = Watched::new();
        assert_eq!(watched.at(1000, &[(3, 0)]), None, "nothing is read yet");
        assert_eq!(watched.at(1100, &[(3, 5 * MIB)]), Some((100, 5 * MIB)));
        assert_eq!(watched.at(1200, &[(3, 9 * MIB), (4, MIB)]), Some((200, 10 * MIB)));
        assert_eq!(watched.at(1300, &[(4, MIB)]), Some((300, 10 * MIB)), "closed");
        assert_eq!(watched.at(1400, &[(4, MIB)]), Some((300, 10 * MIB)), "open, but not read");
        assert!(watched.loads.is_loading() && watched.loads.has_read_model);
        assert_eq!(watched.at(9000, &[(4, MIB)]), Some((300, 10 * MIB)));
        assert!(!watched.loads.is_loading());
        assert_eq!(watched.at(9100, &[]), Some((300, 10 * MIB)), "a close alone begins no load");
        assert_eq!(watched.at(20_000, &[(5, 2 * MIB)]), Some((300, 10 * MIB)), "perhaps the next load");
        assert_eq!(watched.at(20_100, &[(5, 3 * MIB)]), Some((100, 3 * MIB)), "the next load");
    }

    #[test]
    fn a_short_pause_does_not_end_a_load() {
        let mut watched = Watched::new();
        watched.at(1000, &[(3, MIB)]);
        assert_eq!(watched.at(6000, &[(3, MIB), (4, 2 * MIB)]), Some((5000, 3 * MIB)));
    }

    #[test]
    fn a_file_that_is_read_again_counts_once() {
        let mut watched = Watched::new();
        watched.at(1000, &[(3, 8 * MIB)]);
        watched.at(1100, &[(3, 0)]);
        assert_eq!(watched.at(1200, &[(3, 8 * MIB)]), None, "only once");
        assert_eq!(watched.at(1300, &[(3, 9 * MIB)]), Some((300, 9 * MIB)));
    }

    #[test]
    fn a_file_that_was_open_at_the_first_sample_counts_from_there() {
        let mut watched = Watched { loads: Loads::default(), begun: Instant::now() };
        assert_eq!(watched.at(0, &[(3, 900 * MIB)]), None);
        assert!(watched.loads.has_read_model);
        watched.at(100, &[(3, 901 * MIB)]);
        assert_eq!(watched.at(200, &[(3, 902 * MIB)]), Some((100, 2 * MIB)));
    }

    #[test]
    fn a_file_that_one_call_reads_counts_when_it_is_closed() {
        let mut watched = Watched::new();
        watched.at_with(1000, &[(3, 0)], Some((7, 0)));
        for second in 2..12 {
            let fetched = second * 20 * MIB;
            assert_eq!(watched.at_with(second * 1000, &[(3, 0)], Some((7, fetched))), None);
            assert!(watched.loads.is_loading());
        }
        let read = Some((7 + 256 * MIB, 256 * MIB));
        assert_eq!(watched.at_with(12_000, &[], read), Some((11_000, 256 * MIB)));
        assert!(watched.loads.has_read_model);
        // Another file is closed unread, for example because it was mapped.
        watched.at_with(20_000, &[(4, 0)], read);
        watched.at_with(20_100, &[], read);
        watched.at_with(30_000, &[], read);
        assert_eq!(watched.at_with(30_100, &[], read), Some((11_000, 256 * MIB)));
    }

    #[test]
    fn a_mapped_file_that_stays_open_is_not_loaded_for_ever() {
        let mut watched = Watched::new();
        let load =
            (1..100).filter_map(|second| watched.at_with(second * 1000, &[(3, 0)], Some((0, second * MIB))));
        assert_eq!(load.last(), None, "nothing was read");
        assert!(!watched.loads.is_loading());
    }

    #[test]
    fn a_file_that_was_read_in_pieces_is_not_read_any_more_when_its_process_fetches_something_else() {
        let mut watched = Watched::new();
        watched.at_with(1000, &[(3, 0)], Some((0, 0)));
        watched.at_with(1100, &[(3, 9 * MIB)], Some((9 * MIB, 9 * MIB)));
        let load = (2..100).filter_map(|second| {
            watched.at_with(second * 1000, &[(3, 9 * MIB)], Some((9 * MIB, second * 10 * MIB)))
        });
        assert_eq!(load.last(), Some((100, 9 * MIB)));
    }

    #[test]
    fn what_a_process_reads_elsewhere_does_not_count_for_an_open_file() {
        let mut watched = Watched::new();
        watched.at_with(1000, &[(3, 0), (4, 0)], Some((0, 0)));
        // 300 MiB were read: all of one file, and at most the rest of the other one.
        assert_eq!(watched.at_with(1100, &[(3, 256 * MIB)], Some((300 * MIB, 0))), Some((100, 300 * MIB)));
        // Read to its end, it stays open, and its process goes on with something else.
        watched.at_with(2000, &[(3, 256 * MIB)], Some((900 * MIB, 0)));
        watched.at_with(8000, &[(3, 256 * MIB)], Some((900 * MIB, 900 * MIB)));
        assert!(!watched.loads.is_loading());
    }

    #[test]
    fn small_files_are_no_models() {
        let mut watched = Watched::new();
        assert_eq!(watched.at(1000, &[(3, 4096)]), None);
        assert!(!watched.loads.has_read_model);
    }
}
