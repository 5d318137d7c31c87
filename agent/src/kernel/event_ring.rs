//! Ring buffers through which the kernel programs report rare events that user space handles immediately.

use std::os::fd::{AsRawFd as _, RawFd};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};

use super::maps;

/// A ring buffer of events of one type.
pub struct EventRing<E> {
    ring: RingBuf<MapData>,
    parse: fn(&[u8]) -> Option<E>,
}

impl<E> EventRing<E> {
    pub(super) fn open(
        ebpf: &mut Ebpf,
        name: &'static str,
        parse: fn(&[u8]) -> Option<E>,
    ) -> anyhow::Result<Self> {
        Ok(Self { ring: maps::take(ebpf, name)?, parse })
    }

    /// A file descriptor that is readable while there is an event.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// Yields the pending events. Never blocks: the end means that no event is pending now.
impl<E> Iterator for EventRing<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        while let Some(item) = self.ring.next() {
            // Drop an event that cannot be parsed; our own programs do not write such events.
            if let Some(event) = (self.parse)(&item) {
                return Some(event);
            }
        }
        None
    }
}
