//! Ring buffers through which the kernel programs report rare events that user space handles at once.

use std::os::fd::{AsRawFd as _, RawFd};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};

use super::maps;

/// One ring buffer of events of one kind.
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

    /// Becomes readable when there is an event.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// The events that wait. Never blocks: the end means that there is none now.
impl<E> Iterator for EventRing<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        while let Some(item) = self.ring.next() {
            // An event that does not parse cannot come from our own program; drop it and go on.
            if let Some(event) = (self.parse)(&item) {
                return Some(event);
            }
        }
        None
    }
}
