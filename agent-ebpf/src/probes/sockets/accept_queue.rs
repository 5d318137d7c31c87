//! How full the accept queue of a listening socket is when a connection attempt arrives.
//!
//! Hook: the ingress program, for a SYN and for the empty acknowledgement that ends the handshake: the kernel passes
//! both to the filter with the listening socket. An attempt is dropped if the queue is longer than its limit, which the
//! kernel checks right after the filter with the same two fields (`sk_acceptq_is_full`). Other packets cost at most one
//! comparison of their flags and, if they carry no data, of the socket's state.

use aya_ebpf::{helpers::generated::bpf_skc_to_tcp_sock, macros::map, maps::Array, programs::SkBuffContext};
use glassbox_ebpf::sockets::AcceptQueue;

use super::{
    super::packet::{Packet, ip},
    connections::{counters, state},
};
use crate::{
    frozen::offset,
    read::{add, field},
};

/// Resized by user space to the configured number of containers, and cleared by it from time to time.
#[map]
static SOCKET_QUEUES: Array<AcceptQueue> = Array::with_max_entries(256, 0);

/// TCP flags.
mod flag {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const SYN: u8 = 0x02;
    pub(super) const RST: u8 = 0x04;
    pub(super) const ACK: u8 = 0x10;
}

/// Records the queue if the packet belongs to a connection attempt.
#[inline(always)]
pub(super) fn record(ctx: &SkBuffContext, packet: &Packet) -> Option<()> {
    let kind = packet.flags & (flag::FIN | flag::SYN | flag::RST | flag::ACK);
    let is_attempt = kind == flag::SYN || (kind == flag::ACK && packet.payload_bytes == 0);
    if packet.protocol != ip::TCP || !is_attempt {
        return None;
    }
    // SAFETY: the context comes from the kernel.
    let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    // SAFETY: checked for null first, as the verifier demands.
    if socket.is_null() || unsafe { (*socket).state } != state::LISTEN {
        return None;
    }
    // SAFETY: the helper accepts any socket and checks its protocol.
    let socket = unsafe { bpf_skc_to_tcp_sock(socket.cast()) };
    if socket.is_null() {
        return None;
    }
    let length: u32 = field(socket.cast::<u8>(), offset!(sock_ack_backlog))?;
    let limit: u32 = field(socket.cast::<u8>(), offset!(sock_max_ack_backlog))?;
    if length > limit {
        // SAFETY: a member of a map element.
        unsafe { add(&raw mut (*counters(packet.slot)?).accept_overflows, 1) };
    }
    let fullest = SOCKET_QUEUES.get_ptr_mut(packet.slot)?;
    // SAFETY: a map element. Two attempts at the same time may overwrite each other.
    unsafe {
        if length >= (*fullest).length {
            (&raw mut (*fullest).length).write_volatile(length);
            (&raw mut (*fullest).limit).write_volatile(limit);
        }
    }
    Some(())
}
