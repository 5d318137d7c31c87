//! Sends pieces of job messages to user space. Only requests to known routes and their responses get here.

use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use glassbox_ebpf::{
    Lost,
    requests::{
        connection::{Connection, STATUS},
        first_line::Route,
        follow::Observer as _,
        piece::{BODY_END_BYTES, PIECE_BYTES, Piece, PieceKind},
        rolled,
    },
};

use super::{REQUEST_PIECES, REQUEST_SETTINGS, observer::Counting};
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

impl Counting<'_> {
    /// Sends a piece, if user space reads the messages of this route.
    #[inline(never)]
    pub(super) fn send(&self, connection: &Connection, place: &Place) {
        let Place { kind, route, number, offset, bytes, total_bytes } = *place;
        // The verifier has to see the comparison that follows.
        let index = rolled(route as usize - 1);
        let flags = REQUEST_SETTINGS
            .get(0)
            .and_then(|settings| settings.routes.routes.get(index))
            .map_or(0, |route| route.flags);
        if flags & Route::JOBS == 0 {
            return;
        }
        let (offset, bytes) = if kind == PieceKind::RequestBodyEnd as u32 {
            let length = bytes.min(BODY_END_BYTES as u32);
            (bytes - length, length)
        } else {
            (offset, bytes.min(PIECE_BYTES as u32))
        };
        let Some(mut entry) = REQUEST_PIECES.reserve::<Piece>(0) else {
            lost::count(Lost::RequestPieces);
            return;
        };
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
                let to = (&raw mut (*piece).bytes).cast();
                let offset = self.payload_offset + offset;
                if bpf_skb_load_bytes(self.ctx.skb.skb.cast(), offset, to, less as u32 + 1) == 0 {
                    (*piece).length = less as u32 + 1;
                }
            }
        }
        entry.submit(NO_WAKEUP);
    }
}
