//! Sizes of containers' writable layers, as runtimes report them. The tasks in `cri/disk.rs` write them, and the disk
//! collector reads them. Clones share their contents.
//!
//! Bounded: at most [`SIZES_MAX`] sizes per source. A size expires if its source does not report it again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::source::Source;

/// Maximum number of sizes per source: as many as containers in the metadata store.
const SIZES_MAX: usize = 8192;

/// The sizes.
#[derive(Clone, Debug, Default)]
pub struct Layers(Arc<Mutex<HashMap<Source, Sizes>>>);

#[derive(Debug)]
struct Sizes {
    at: Instant,
    bytes: HashMap<String, u64>,
}

impl Layers {
    /// Replaces all sizes of `source`, given by container ID and in bytes.
    pub fn replace(&self, source: Source, sizes: impl IntoIterator<Item = (String, u64)>) {
        let bytes = sizes.into_iter().take(SIZES_MAX).collect();
        self.sizes().insert(source, Sizes { at: Instant::now(), bytes });
    }

    /// The size of a container's layer in bytes, if it was reported within `max_age`.
    #[must_use]
    pub fn get(&self, id: &str, max_age: Duration) -> Option<u64> {
        let sizes = self.sizes();
        let recent = sizes.values().filter(|report| report.at.elapsed() <= max_age);
        // Normally only one source has the container. If several report it, the last report counts.
        let known = recent.filter_map(|report| Some((report.at, *report.bytes.get(id)?)));
        known.max_by_key(|(at, _)| *at).map(|(_, bytes)| bytes)
    }

    // Related fields change without a panic in between, so the data of a poisoned lock is consistent.
    fn sizes(&self) -> MutexGuard<'_, HashMap<Source, Sizes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::identity::Runtime;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_new_report_replaces_only_the_sizes_of_its_source() {
        let layers = Layers::default();
        let (one, other) = (Source::socket(Runtime::CriO, 1), Source::socket(Runtime::Containerd, 2));
        layers.replace(one, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        layers.replace(other, [("c".to_owned(), 3)]);
        layers.replace(one, [("b".to_owned(), 4)]);
        assert_eq!(["a", "b", "c"].map(|id| layers.get(id, LONG)), [None, Some(4), Some(3)]);
    }

    #[test]
    fn a_size_that_is_not_reported_again_expires() {
        let layers = Layers::default();
        layers.replace(Source::socket(Runtime::CriO, 1), [("a".to_owned(), 1)]);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(layers.get("a", Duration::from_millis(1)), None);
        assert_eq!(layers.get("a", LONG), Some(1));
    }

    #[test]
    fn sizes_are_bounded() {
        let layers = Layers::default();
        layers.replace(Source::socket(Runtime::CriO, 1), (0..100_000).map(|id| (id.to_string(), 1)));
        assert_eq!(layers.sizes().values().map(|sizes| sizes.bytes.len()).sum::<usize>(), SIZES_MAX);
    }
}
