//! When the models of a container were loaded, from samples of the positions of its open model files.
//!
//! A load begins with the sample that finds a model file open for the first time, and ends with the last sample that finds
//! one read further or closed. It counts as soon as there are two such samples: a file that was read before the first one and
//! stays open would have a load of no duration. A pause of more than [`PAUSE`] ends it. A file that was open at the first sample of a
//! container counts from there. What is read after the last sample before a file is closed is not seen, and a file that is
//! open between two samples only is not seen at all.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{MODEL_BYTES_MIN, files::OpenFile};
use crate::snapshot::inference::ModelLoad;

/// Maximum pause within a load.
const PAUSE: Duration = Duration::from_secs(5);

/// The loads of one container.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// The farthest position of each open file; `None` before the first sample.
    open: Option<HashMap<OpenFile, u64>>,
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

impl Loads {
    /// Adds a sample: all open model files and their positions.
    pub(super) fn sample(&mut self, now: Instant, files: &[(OpenFile, u64)]) {
        let known = self.open.take();
        let is_first = known.is_none();
        let mut known = known.unwrap_or_default();
        let mut open = HashMap::with_capacity(files.len());
        let (mut is_read, mut bytes) = (false, 0_u64);
        for (file, position) in files {
            let before = known.remove(file);
            let farthest = before.unwrap_or(0).max(*position);
            if !is_first {
                let further = farthest - before.unwrap_or(0);
                is_read |= before.is_none() || further > 0;
                bytes = bytes.saturating_add(further);
            }
            self.has_read_model |= farthest >= MODEL_BYTES_MIN;
            open.insert(*file, farthest);
        }
        // The others were closed, after they had been read up to an unknown position.
        let was_closed = !known.is_empty();
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
            let files: Vec<_> = files.iter().map(|(file, bytes)| (OpenFile::of(*file), *bytes)).collect();
            self.loads.sample(self.begun + Duration::from_millis(ms), &files);
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
    fn small_files_are_no_models() {
        let mut watched = Watched::new();
        assert_eq!(watched.at(1000, &[(3, 4096)]), None);
        assert!(!watched.loads.has_read_model);
    }
}
