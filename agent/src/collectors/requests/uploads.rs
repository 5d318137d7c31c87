//! Dimensions of uploaded images, from the first bytes of the body of requests on the route `upload`, which the kernel
//! programs send if `requests.upload_images` is on. Nothing but format and size is kept.
//!
//! Cost: some 2 µs per upload in the kernel, and 1 µs here.

mod exif;
mod image;
mod multipart;

use std::collections::HashMap;

use glassbox_ebpf::requests::upload::UploadStart;

use crate::{kernel::event_ring::EventRing, snapshot::uploads::Uploads};

/// Maximum number of bodies that are handled at once.
const BODIES_PER_TURN: usize = 256;

/// The uploads of each container, by slot.
pub(super) struct UploadReader {
    starts: EventRing<UploadStart>,
    by_slot: HashMap<u32, Uploads>,
}

/// The start of a body as the kernel programs have written it.
pub(super) fn start(bytes: &[u8]) -> Option<UploadStart> {
    let is_whole = bytes.len() >= size_of::<UploadStart>();
    // SAFETY: the length is checked, every bit pattern is valid, and the read does not need alignment.
    is_whole.then(|| unsafe { bytes.as_ptr().cast::<UploadStart>().read_unaligned() })
}

impl UploadReader {
    pub(super) fn new(starts: EventRing<UploadStart>) -> Self {
        Self { starts, by_slot: HashMap::new() }
    }

    /// Reads what the kernel has sent.
    pub(super) fn read(&mut self) {
        for start in self.starts.by_ref().take(BODIES_PER_TURN) {
            let uploads = self.by_slot.entry(start.slot).or_default();
            // A body that is no multipart form may be the file itself.
            let file = multipart::first_file(start.bytes());
            match image::read(file.unwrap_or(start.bytes())) {
                Some(image) => uploads.add(image.format, image.pixels),
                None => uploads.others += 1,
            }
        }
    }

    /// The uploads of the container in a slot; `None` if there were none.
    pub(super) fn of(&self, slot: u32) -> Option<Uploads> {
        self.by_slot.get(&slot).copied()
    }

    /// Releases the state of a container that has ended.
    pub(super) fn forget(&mut self, slot: u32) {
        self.by_slot.remove(&slot);
    }
}
