//! Accounts for the response texts in memory. A text is shared by all connections that send it, and stays in memory
//! until the last of them has sent it, even if a newer text has superseded it. The total size of superseded texts is
//! limited: above the limit, clients that read the oldest texts must be disconnected.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

/// Identifies a text. IDs increase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextId(u64);

/// The texts in memory.
pub(super) struct Texts {
    max_superseded_bytes: AtomicUsize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    by_id: BTreeMap<TextId, Text>,
}

struct Text {
    bytes: usize,
    superseded: bool,
}

/// A text. It is removed from the accounting when its last [`Bytes`] is dropped.
struct Owned {
    bytes: Bytes,
    id: TextId,
    texts: Arc<Texts>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.texts.kept().by_id.remove(&self.id);
    }
}

impl Texts {
    /// Starts without texts. `max_superseded_bytes` limits the total size of superseded texts.
    pub(super) fn new(max_superseded_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_superseded_bytes: max_superseded_bytes.into(), kept: Mutex::default() })
    }

    /// Changes the limit.
    pub(super) fn limit(&self, max_superseded_bytes: usize) {
        self.max_superseded_bytes.store(max_superseded_bytes, Ordering::Relaxed);
    }

    /// Adds a text. It is accounted for until all clones of the returned bytes are dropped.
    pub(super) fn keep(self: &Arc<Self>, bytes: Bytes) -> (Bytes, TextId) {
        let id = {
            let mut kept = self.kept();
            let id = TextId(kept.next);
            kept.next += 1;
            kept.by_id.insert(id, Text { bytes: bytes.len(), superseded: false });
            id
        };
        (Bytes::from_owner(Owned { bytes, id, texts: Arc::clone(self) }), id)
    }

    /// Marks `id` as superseded by a newer text. Returns the texts whose readers must be disconnected to keep the
    /// limit, the oldest first.
    pub(super) fn supersede(&self, id: TextId) -> Vec<TextId> {
        let mut kept = self.kept();
        if let Some(text) = kept.by_id.get_mut(&id) {
            text.superseded = true;
        }
        let superseded = || kept.by_id.iter().filter(|(_, text)| text.superseded);
        let limit = self.max_superseded_bytes.load(Ordering::Relaxed);
        let mut excess = superseded().map(|(_, text)| text.bytes).sum::<usize>().saturating_sub(limit);
        let mut cut = Vec::new();
        for (id, text) in superseded() {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(text.bytes);
            cut.push(*id);
        }
        cut
    }

    // A poisoned lock is used anyway: no writer can panic between two related changes.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_counts_until_its_last_reader_drops_it() {
        let texts = Texts::new(10);
        let (first, first_id) = texts.keep(Bytes::from_static(b"12345678"));
        let reader = first.slice(3..);
        drop(first);
        assert_eq!(texts.supersede(first_id), []);
        let (second, second_id) = texts.keep(Bytes::from_static(b"123"));
        let readers = [second.clone(), second];
        assert_eq!(texts.supersede(second_id), [first_id], "eleven bytes");
        drop(reader);
        assert_eq!(texts.supersede(second_id), []);
        drop(readers);
        assert!(texts.kept().by_id.is_empty());
    }

    proptest! {
        #[test]
        fn the_limit_holds_once_the_returned_readers_are_disconnected(lengths in prop::collection::vec(0usize..50, 0..30)) {
            let texts = Texts::new(100);
            let mut held = BTreeMap::new();
            for length in lengths {
                let (bytes, id) = texts.keep(Bytes::from(vec![0; length]));
                held.insert(id, bytes);
                for cut in texts.supersede(id) {
                    held.remove(&cut);
                }
                prop_assert!(held.values().map(Bytes::len).sum::<usize>() <= 100);
                prop_assert_eq!(texts.kept().by_id.len(), held.len());
            }
        }
    }
}
