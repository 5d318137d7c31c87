//! Bytes that each container transfers through unix sockets, which have no packets.
//!
//! Hooks: tp_btf `sock_send_length` and `sock_recv_length` (6.3). They run at the end of each socket call of the host,
//! also for TCP and UDP: some 60 ns per call with the kernel's program statistics on (6.18), so they are attached only
//! if configured.
//!
//! The container is that of the calling task. The socket's own cgroup would be wrong, because the kernel creates the
//! server's end of a connection in the client's call.

use aya_ebpf::{
    macros::{btf_tracepoint, map},
    maps::PerCpuArray,
    programs::BtfTracePointContext,
};
use glassbox_ebpf::{containers::SHARED_SLOT, sockets::UnixCounters};

use super::super::containers::slot_of_current;
use crate::{
    frozen::offset,
    read::{add, field},
};

/// Resized by user space to the configured number of containers.
#[map]
static SOCKET_UNIX: PerCpuArray<UnixCounters> = PerCpuArray::with_max_entries(256, 0);

const AF_UNIX: u16 = 1;
/// The data stays in the socket and will be read again.
const MSG_PEEK: i32 = 2;

#[btf_tracepoint(function = "sock_send_length")]
fn sockets_send(ctx: BtfTracePointContext) -> i32 {
    if let Some((counts, bytes)) = transferred(&ctx) {
        // SAFETY: a member of a map element.
        unsafe { add(&raw mut (*counts).transmit_bytes, bytes) };
    }
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
fn sockets_receive(ctx: BtfTracePointContext) -> i32 {
    if let Some((counts, bytes)) = transferred(&ctx) {
        // SAFETY: a member of a map element.
        unsafe { add(&raw mut (*counts).receive_bytes, bytes) };
    }
    0
}

/// The counters and the bytes of a call; `None` if it failed, or is not of a container's unix socket.
#[inline(always)]
fn transferred(ctx: &BtfTracePointContext) -> Option<(*mut UnixCounters, u64)> {
    let (socket, bytes, flags): (*const u8, i32, i32) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if socket.is_null() || bytes <= 0 || flags & MSG_PEEK != 0 {
        return None;
    }
    let family: u16 = field(socket, offset!(sock_family))?;
    if family != AF_UNIX {
        return None;
    }
    let slot = slot_of_current()?;
    if slot == SHARED_SLOT {
        return None;
    }
    Some((SOCKET_UNIX.get_ptr_mut(slot)?, bytes as u64))
}
