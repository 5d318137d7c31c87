//! Sends the first bytes of uploads to user space, if it reads the dimensions of images.

use aya_ebpf::{macros::map, maps::RingBuf};
use glassbox_ebpf::{
    Lost,
    requests::{
        rolled,
        route::Route,
        upload::{UPLOAD_BYTES, UPLOADS_OFF_BYTES, UPLOADS_PER_S, UploadStart},
    },
};

use super::{
    REQUEST_SETTINGS,
    observer::{Counting, now_ns},
    retries::recent,
    source::Source,
};
use crate::lost;

/// Resized by user space if it reads it.
#[map]
static REQUEST_UPLOADS: RingBuf = RingBuf::with_byte_size(UPLOADS_OFF_BYTES, 0);

/// `BPF_RB_NO_WAKEUP`: user space reads the bytes at its ticks.
const NO_WAKEUP: u64 = 1;

impl<S: Source> Counting<S> {
    /// Sends the `bytes` bytes at `offset` of the segment, with which a body begins. `bytes` is not 0.
    #[inline(never)]
    pub(super) fn send_upload(&self, route: u32, offset: u32, bytes: u32) {
        // The verifier has to see the comparison that follows.
        let index = rolled(route as usize - 1);
        let route = REQUEST_SETTINGS.get(0).and_then(|settings| settings.routes.routes.get(index));
        if route.map_or(0, |route| route.flags) & Route::UPLOADS == 0 || !may_send(self.slot) {
            return;
        }
        let Some(mut entry) = REQUEST_UPLOADS.reserve::<UploadStart>(0) else {
            lost::count(Lost::RequestUploads);
            return;
        };
        let upload = entry.as_mut_ptr();
        let less = rolled(bytes.min(UPLOAD_BYTES as u32) as usize - 1) & (UPLOAD_BYTES - 1);
        // SAFETY: the entry has room for the bytes, and every member is written, except for bytes that do not count.
        unsafe {
            (*upload).slot = self.slot;
            (*upload).length = 0;
            if self.source.load(offset, (&raw mut (*upload).bytes).cast(), less as u32) {
                (*upload).length = less as u32 + 1;
            }
        }
        entry.submit(NO_WAKEUP);
    }
}

/// Whether the container may send another one, so that it cannot fill the ring buffer.
#[inline(always)]
fn may_send(slot: u32) -> bool {
    let Some(recent) = recent(slot) else { return false };
    // SAFETY: a member of a map element. CPUs that write at the same time let one more pass.
    let (may_send, budget) = unsafe { (*recent).uploads }.take(now_ns(), UPLOADS_PER_S);
    if may_send {
        // SAFETY: as above.
        unsafe { (*recent).uploads = budget };
    } else {
        lost::count(Lost::RequestUploads);
    }
    may_send
}
