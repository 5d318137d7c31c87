//! Resets and dropped datagrams of each container.
//!
//! Hooks: tp_btf `tcp_send_reset`, `tcp_receive_reset` and `udp_fail_queue_rcv_skb`, all in 5.10. They run for all
//! sockets of the host, but only for the event itself. Resets are not counted in the cgroup's packets, because the
//! kernel sends many of them through a socket of its own, and because it ignores received ones with a wrong sequence
//! number. Kernels before 6.10 do not report datagrams dropped by IPv6 sockets, unless they came over IPv4.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use glassbox_ebpf::containers::SHARED_SLOT;

use super::{
    connections::{counters, state},
    owner::slot_of_socket,
};
use crate::{
    frozen::offset,
    read::{add, field},
};

#[btf_tracepoint(function = "tcp_send_reset")]
fn sockets_reset_sent(ctx: BtfTracePointContext) -> i32 {
    let socket: *const u8 = ctx.arg(0);
    if is_whole(socket)
        && let Some(counts) = counters(slot_of_socket(socket))
    {
        // SAFETY: a member of a map element.
        unsafe { add(&raw mut (*counts).resets_sent, 1) };
    }
    0
}

#[btf_tracepoint(function = "tcp_receive_reset")]
fn sockets_reset_received(ctx: BtfTracePointContext) -> i32 {
    let socket: *const u8 = ctx.arg(0);
    if is_whole(socket)
        && let Some(counts) = counters(slot_of_socket(socket))
    {
        // SAFETY: a member of a map element.
        unsafe { add(&raw mut (*counts).resets_received, 1) };
    }
    0
}

#[btf_tracepoint(function = "udp_fail_queue_rcv_skb")]
fn sockets_udp_drop(ctx: BtfTracePointContext) -> i32 {
    let socket: *const u8 = ctx.arg(1);
    if socket.is_null() {
        return 0;
    }
    let slot = slot_of_socket(socket);
    if slot != SHARED_SLOT
        && let Some(counts) = counters(slot)
    {
        // SAFETY: a member of a map element.
        unsafe { add(&raw mut (*counts).udp_drops, 1) };
    }
    0
}

/// True if there is a socket, and it has the fields behind the common part: in two states it is a smaller structure.
#[inline(always)]
fn is_whole(socket: *const u8) -> bool {
    if socket.is_null() {
        return false;
    }
    let state: Option<u8> = field(socket, offset!(sock_state));
    !matches!(state, None | Some(state::TIME_WAIT | state::NEW_SYN_RECV))
}
