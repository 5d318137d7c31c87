//! What shows the observer a connection: a packet, or the close of a socket.

use aya_ebpf::helpers::generated::bpf_skb_load_bytes;

use super::segment::SkbSegment;
use crate::probes::packet::{Direction, words};

/// `ETH_P_IPV6`.
const ETH_P_IPV6: u16 = 0x86dd;

/// What shows a connection.
pub(super) trait Source {
    /// The client's address, as the key of its failures contains it.
    fn client(&self) -> Option<[u64; 2]>;
    /// Copies `less + 1` bytes at `offset` of the payload. False if there are no such bytes.
    ///
    /// # Safety
    /// `to` must be valid for that many bytes.
    unsafe fn load(&self, offset: u32, to: *mut u8, less: u32) -> bool;
}

impl Source for &SkbSegment<'_> {
    #[inline(always)]
    fn client(&self) -> Option<[u64; 2]> {
        let is_received = matches!(self.direction, Direction::Ingress);
        // SAFETY: the context comes from the kernel.
        let is_ipv6 = unsafe { (*self.ctx.skb.skb).protocol } == u32::from(ETH_P_IPV6.to_be());
        if is_ipv6 {
            words(self.ctx, if is_received { 8 } else { 24 }).map(address)
        } else {
            let [client]: [u32; 1] = words(self.ctx, if is_received { 12 } else { 16 })?;
            Some(address([client, 0, 0, 0]))
        }
    }

    #[inline(always)]
    unsafe fn load(&self, offset: u32, to: *mut u8, less: u32) -> bool {
        let offset = self.payload_offset + offset;
        // SAFETY: guaranteed by the caller; the helper checks the packet's length.
        unsafe { bpf_skb_load_bytes(self.ctx.skb.skb.cast(), offset, to.cast(), less + 1) == 0 }
    }
}

/// A socket that was closed.
pub(super) struct ClosedSocket {
    /// The client's address, as [`ConnectionKey::remote`](glassbox_ebpf::requests::connection::ConnectionKey::remote).
    pub(super) client: [u32; 4],
}

impl Source for ClosedSocket {
    #[inline(always)]
    fn client(&self) -> Option<[u64; 2]> {
        Some(address(self.client))
    }

    #[inline(always)]
    unsafe fn load(&self, _: u32, _: *mut u8, _: u32) -> bool {
        false
    }
}

#[inline(always)]
fn address(words: [u32; 4]) -> [u64; 2] {
    let [a, b, c, d] = words.map(u64::from);
    [a << 32 | b, c << 32 | d]
}
