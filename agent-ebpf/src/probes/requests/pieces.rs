//! Sends pieces of job messages to user space. Only requests to known routes and their responses get here.

use aya_ebpf::maps::ring_buf::RingBufEntry;
use glassbox_ebpf::{
    Lost,
    requests::{
        connection::{Connection, STATUS},
        follow::Observer as _,
        piece::{BODY_END_BYTES, PIECE_BYTES, PIECES_PER_S, Piece, PieceKind},
        rolled,
        route::Route,
    },
};

use super::{REQUEST_PIECES, REQUEST_SETTINGS, observer::Counting, retries::recent, source::Source};
use crate::lost;

/// `BPF_RB_NO_WAKEUP`: user space reads the pieces at its ticks.
const NO_WAKEUP: u64 = 1;

/// A piece, and where it is in the payload.
pub(super) struct Place {
    pub(super) kind: u32,
    pub(super) route: u32,
    /// Number of the request on its connection.
    pub(super) number: u32,
    pub(super) offset: u32,
    pub(super) bytes: u32,
    /// Length of what it is a piece of; 0 if unknown.
    pub(super) total_bytes: u64,
}

/// Whether user space reads the messages of a route.
#[inline(always)]
fn has_jobs(route: u32) -> bool {
    // The verifier has to see the comparison that follows. The route `other` has the number 0.
    let index = rolled((route as usize).wrapping_sub(1));
    let route = REQUEST_SETTINGS.get(0).and_then(|settings| settings.routes.routes.get(index));
    route.is_some_and(|route| route.flags & Route::JOBS != 0)
}

/// Room for a piece, unless the container has used its share of this second or the ring buffer is full.
#[inline(always)]
fn reserve(slot: u32, kind: u32, now_ns: u64) -> Option<RingBufEntry<Piece>> {
    let recent = recent(slot)?;
    let per_second = if kind >= PieceKind::ResponseEnd as u32 { 2 * PIECES_PER_S } else { PIECES_PER_S };
    // SAFETY: a member of a map element. CPUs that write at the same time let a piece more pass.
    let (may_send, budget) = unsafe { (*recent).pieces }.take(now_ns, per_second);
    // SAFETY: as above.
    unsafe { (*recent).pieces = budget };
    let entry = if may_send { REQUEST_PIECES.reserve::<Piece>(0) } else { None };
    if entry.is_none() {
        // SAFETY: as above.
        unsafe { (*recent).piece_lost_ns = now_ns };
        lost::count(Lost::RequestPieces);
    }
    entry
}

impl<S: Source> Counting<S> {
    /// Sends a piece, if user space reads the messages of this route.
    #[inline(never)]
    pub(super) fn send(&self, connection: &Connection, place: &Place) {
        let Place { kind, route, number, offset, bytes, total_bytes } = *place;
        if !has_jobs(route) {
            return;
        }
        let (offset, bytes) = if kind == PieceKind::RequestBodyEnd as u32 {
            let length = bytes.min(BODY_END_BYTES as u32);
            (bytes - length, length)
        } else {
            (offset, bytes.min(PIECE_BYTES as u32))
        };
        let Some(mut entry) = reserve(self.slot, kind, self.now_ns()) else { return };
        let piece = entry.as_mut_ptr();
        // SAFETY: the entry has room for a piece, and every member is written, except for bytes that do not count.
        unsafe {
            (*piece).at_ns = self.now_ns();
            (*piece).connection = connection.opened_ns;
            (*piece).request = number;
            (*piece).slot = self.slot;
            (*piece).kind = kind;
            (*piece).route = route;
            (*piece).bytes_total = total_bytes;
            (*piece).status = connection.status & STATUS;
            (*piece).length = 0;
            if bytes > 0 {
                let less = rolled(bytes as usize - 1) & (PIECE_BYTES - 1);
                if self.source.load(offset, (&raw mut (*piece).bytes).cast(), less as u32) {
                    (*piece).length = less as u32 + 1;
                }
            }
        }
        entry.submit(NO_WAKEUP);
    }
}
