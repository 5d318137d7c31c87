//! How large the writable layers of containers are, as runtimes tell: left by the tasks that ask (`cri/disk.rs`), taken
//! by the disk collector. Clones share one.
//!
//! Bounded: [`SIZES_MAX`] sizes for each source. A size that has not been told anew for a while is not given any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::source::Source;

/// Sizes of one source that are kept: as many as containers in the directory.
const SIZES_MAX: usize = 8192;

/// The sizes.
#[derive(Clone, Debug, Default)]
pub struct Layers(Arc<Mutex<HashMap<Source, Told>>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    bytes: HashMap<String, u64>,
}

impl Layers {
    /// Replaces all that `source` has told, by container id and in bytes.
    pub fn replace(&self, source: Source, sizes: impl IntoIterator<Item = (String, u64)>) {
        let bytes = sizes.into_iter().take(SIZES_MAX).collect();
        self.told().insert(source, Told { at: Instant::now(), bytes });
    }

    /// The size of a container's layer in bytes, if it was told within `max_age`.
    #[must_use]
    pub fn get(&self, id: &str, max_age: Duration) -> Option<u64> {
        let told = self.told();
        let young = told.values().filter(|told| told.at.elapsed() <= max_age);
        // At most one source knows a container, unless one lies: then the last that was heard.
        let known = young.filter_map(|told| Some((told.at, *told.bytes.get(id)?)));
        known.max_by_key(|(at, _)| *at).map(|(_, bytes)| bytes)
    }

    // No writer panics between two changes that belong together, so a poisoned lock holds sound data.
    fn told(&self) -> MutexGuard<'_, HashMap<Source, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::identity::Runtime;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_a_source_tells_replaces_what_it_told_and_nothing_else() {
        let layers = Layers::default();
        let (one, other) = (Source::socket(Runtime::CriO, 1), Source::socket(Runtime::Containerd, 2));
        layers.replace(one, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        layers.replace(other, [("c".to_owned(), 3)]);
        layers.replace(one, [("b".to_owned(), 4)]);
        assert_eq!(["a", "b", "c"].map(|id| layers.get(id, LONG)), [None, Some(4), Some(3)]);
    }

    #[test]
    fn a_size_that_is_not_told_anew_is_not_given_for_ever() {
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
        assert_eq!(layers.told().values().map(|told| told.bytes.len()).sum::<usize>(), SIZES_MAX);
    }
}
