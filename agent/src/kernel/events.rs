//! Rare events that the kernel programs report: cgroups of containers that are made, left and removed.

use glassbox_ebpf::containers::{SHARED_SLOT, event};

/// One event. Ids are cgroup ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A cgroup that is named like a container was made.
    Born {
        /// Its id.
        cgroup_id: u64,
        /// The slot that the kernel claimed for it, if one was free.
        slot: Option<u32>,
        /// Its path in its hierarchy; `None` where it was too long for an event, so that only a walk can tell.
        path: Option<String>,
    },
    /// The last process left it.
    Emptied {
        /// Its id.
        cgroup_id: u64,
    },
    /// It was removed.
    Removed {
        /// Its id.
        cgroup_id: u64,
        /// The slot it held, which is user space's to give back.
        slot: Option<u32>,
    },
}

const KIND: usize = 0;
const SLOT: usize = 4;
const ID: usize = 8;
const PATH: usize = 16;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The text of an event; the inner `None` if it may have been cut off.
fn text(bytes: &[u8]) -> Option<Option<String>> {
    let path = bytes.get(PATH..)?;
    let end = path.iter().position(|&byte| byte == 0)?;
    // The helper truncates silently: a path that fills the buffer may be longer.
    let whole = end + 1 < path.len() && end > 0;
    Some(whole.then(|| String::from_utf8_lossy(&path[..end]).into_owned()))
}

impl Event {
    /// Reads a [`glassbox_ebpf::containers::CgroupEvent`] from raw bytes; `None` where they are none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let slot = Some(word(bytes, SLOT)?).filter(|&slot| slot != SHARED_SLOT);
        let cgroup_id = bytes.get(ID..ID + 8)?.try_into().ok().map(u64::from_ne_bytes)?;
        match word(bytes, KIND)? {
            event::BORN => Some(Self::Born { cgroup_id, slot, path: text(bytes)? }),
            event::EMPTIED => Some(Self::Emptied { cgroup_id }),
            event::REMOVED => Some(Self::Removed { cgroup_id, slot }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glassbox_ebpf::containers::{CgroupEvent, PATH_BYTES};

    fn bytes(kind: u32, slot: u32, id: u64, path: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(slot.to_ne_bytes());
        bytes.extend(id.to_ne_bytes());
        bytes.extend(path);
        bytes.resize(size_of::<CgroupEvent>(), 0);
        bytes
    }

    #[test]
    fn a_birth_carries_its_path_and_slot() {
        let event = Event::parse(&bytes(event::BORN, 7, 42, b"/docker/abc"));
        let path = Some("/docker/abc".to_owned());
        assert_eq!(event, Some(Event::Born { cgroup_id: 42, slot: Some(7), path }));
    }

    #[test]
    fn a_birth_without_a_slot_or_with_a_cut_path_says_so() {
        let event = Event::parse(&bytes(event::BORN, SHARED_SLOT, 42, &[b'x'; PATH_BYTES - 1]));
        assert_eq!(event, Some(Event::Born { cgroup_id: 42, slot: None, path: None }));
    }

    #[test]
    fn ends_carry_the_id() {
        assert_eq!(Event::parse(&bytes(event::EMPTIED, 1, 9, b"")), Some(Event::Emptied { cgroup_id: 9 }));
        assert_eq!(
            Event::parse(&bytes(event::REMOVED, 1, 9, b"")),
            Some(Event::Removed { cgroup_id: 9, slot: Some(1) })
        );
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert_eq!(Event::parse(b""), None);
        assert_eq!(Event::parse(&[0; 16]), None);
        assert_eq!(Event::parse(&bytes(99, 0, 0, b"")), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(
            any in proptest::collection::vec(0u8.., 0..80), kind in 0u32..8, path in proptest::collection::vec(0u8.., 0..80),
        ) {
            let _ = Event::parse(&any);
            if let Some(Event::Born { path: Some(path), .. }) = Event::parse(&bytes(kind, 1, 2, &path)) {
                proptest::prop_assert!(!path.is_empty() && !path.contains('\0'));
            }
        }
    }
}
