//! Container start and exit events from the kernel programs: a container's cgroup was created, emptied or removed.

use glassbox_ebpf::containers::{SHARED_SLOT, event};

/// A container start or exit event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A cgroup with the name of a container was created.
    Created {
        /// The cgroup ID.
        cgroup_id: u64,
        /// The slot that the kernel claimed for the cgroup, if it got one.
        slot: Option<u32>,
        /// Its path in its hierarchy; `None` if the path was too long for an event, so that a walk must find it.
        path: Option<String>,
    },
    /// The last process left a cgroup.
    Emptied {
        /// The cgroup ID.
        cgroup_id: u64,
    },
    /// A cgroup was removed.
    Removed {
        /// The cgroup ID.
        cgroup_id: u64,
        /// The slot that it held, which user space must return to the queue.
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

/// The path of an event. The inner `None` means that the path may be truncated.
fn text(bytes: &[u8]) -> Option<Option<String>> {
    let path = bytes.get(PATH..)?;
    let end = path.iter().position(|&byte| byte == 0)?;
    // The kernel's helper truncates silently, so a path that fills the buffer may be truncated.
    let whole = end + 1 < path.len() && end > 0;
    Some(whole.then(|| String::from_utf8_lossy(&path[..end]).into_owned()))
}

impl Event {
    /// Decodes a [`glassbox_ebpf::containers::CgroupEvent`] from raw bytes; `None` if they are not an event.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let slot = Some(word(bytes, SLOT)?).filter(|&slot| slot != SHARED_SLOT);
        let cgroup_id = bytes.get(ID..ID + 8)?.try_into().ok().map(u64::from_ne_bytes)?;
        match word(bytes, KIND)? {
            event::CREATED => Some(Self::Created { cgroup_id, slot, path: text(bytes)? }),
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
    fn a_start_event_contains_the_path_and_the_slot() {
        let event = Event::parse(&bytes(event::CREATED, 7, 42, b"/docker/abc"));
        let path = Some("/docker/abc".to_owned());
        assert_eq!(event, Some(Event::Created { cgroup_id: 42, slot: Some(7), path }));
    }

    #[test]
    fn a_start_event_may_lack_a_slot_and_a_complete_path() {
        let event = Event::parse(&bytes(event::CREATED, SHARED_SLOT, 42, &[b'x'; PATH_BYTES - 1]));
        assert_eq!(event, Some(Event::Created { cgroup_id: 42, slot: None, path: None }));
    }

    #[test]
    fn exit_events_contain_the_cgroup_id() {
        assert_eq!(Event::parse(&bytes(event::EMPTIED, 1, 9, b"")), Some(Event::Emptied { cgroup_id: 9 }));
        assert_eq!(
            Event::parse(&bytes(event::REMOVED, 1, 9, b"")),
            Some(Event::Removed { cgroup_id: 9, slot: Some(1) })
        );
    }

    #[test]
    fn bytes_that_are_not_an_event_are_rejected() {
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
            if let Some(Event::Created { path: Some(path), .. }) = Event::parse(&bytes(kind, 1, 2, &path)) {
                proptest::prop_assert!(!path.is_empty() && !path.contains('\0'));
            }
        }
    }
}
