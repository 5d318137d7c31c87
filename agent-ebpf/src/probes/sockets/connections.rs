//! TCP connections of each container, and the ports on which it listens.
//!
//! Hook: sock_ops (4.13; the call at listen(2) since 4.19), attached to the cgroup of each container. The kernel calls
//! the program when a connection is opened, established or changes its state, and when a segment is sent again: four or
//! five calls per connection, none per packet. State changes and retransmissions are reported only for connections that
//! were opened or accepted after the program was attached, because the program has to request them.
//!
//! The program does not set a reply, so it does not change how the kernel handles a connection.

use aya_ebpf::{
    bindings::bpf_sock_ops,
    helpers::generated::{bpf_skc_to_tcp_sock, bpf_sock_ops_cb_flags_set},
    macros::{map, sock_ops},
    maps::{Array, HashMap},
    programs::SockOpsContext,
};
use glassbox_ebpf::{
    Lost,
    containers::SHARED_SLOT,
    histogram::{self, Histogram},
    sockets::{ConnectionCounters, LISTENERS, ListenerKey, PORTS_MAX},
};

use super::{super::requests, owner::slot_of_socket};
use crate::{lost, read::add};

/// Shared by all CPUs, because its events are rare. Resized by user space to the configured number of containers.
#[map]
static SOCKET_CONNECTIONS: Array<ConnectionCounters> = Array::with_max_entries(256, 0);
#[map]
static SOCKET_LISTENERS: HashMap<ListenerKey, u64> = HashMap::with_max_entries(LISTENERS, 0);

/// Calls of the program: include/uapi/linux/bpf.h, `BPF_SOCK_OPS_*`.
mod operation {
    pub(super) const CONNECT: u32 = 3;
    pub(super) const OPENED: u32 = 4;
    pub(super) const ACCEPTED: u32 = 5;
    pub(super) const RETRANSMITTED: u32 = 9;
    pub(super) const STATE: u32 = 10;
    pub(super) const LISTEN: u32 = 11;
}

/// `BPF_SOCK_OPS_RETRANS_CB_FLAG` and `BPF_SOCK_OPS_STATE_CB_FLAG`.
const REQUESTED: i32 = 2 | 4;

/// TCP states: include/net/tcp_states.h.
pub(super) mod state {
    pub(in super::super) const SYN_SENT: u32 = 2;
    pub(in super::super) const TIME_WAIT: u8 = 6;
    pub(in super::super) const CLOSE: u32 = 7;
    pub(in super::super) const LISTEN: u32 = 10;
    pub(in super::super) const NEW_SYN_RECV: u8 = 12;
}

/// `BPF_NOEXIST`
const ONLY_NEW: u64 = 1;
/// The kernel's smoothed round-trip time has this many fractional bits.
const SRTT_SHIFT: u32 = 3;

#[sock_ops]
fn sockets_operations(ctx: SockOpsContext) -> u32 {
    operate(&ctx);
    1
}

#[inline(always)]
fn operate(ctx: &SockOpsContext) -> Option<()> {
    let operation = ctx.op();
    match operation {
        operation::CONNECT
        | operation::OPENED
        | operation::ACCEPTED
        | operation::RETRANSMITTED
        | operation::STATE
        | operation::LISTEN => {}
        _ => return None,
    }
    let slot = slot(ctx)?;
    let counts = counters(slot)?;
    // SAFETY: members of a map element, aligned.
    unsafe {
        match operation {
            operation::CONNECT => request(ctx),
            operation::OPENED => {
                request(ctx);
                add(&raw mut (*counts).opened, 1);
            }
            operation::ACCEPTED => {
                request(ctx);
                add(&raw mut (*counts).accepted, 1);
            }
            operation::RETRANSMITTED => {
                add(&raw mut (*counts).retransmitted_segments, u64::from(ctx.arg(1)));
            }
            operation::STATE if ctx.arg(1) == state::CLOSE => match ctx.arg(0) {
                state::LISTEN => unlisten(counts, slot, ctx.local_port()),
                state::SYN_SENT => add(&raw mut (*counts).failed, 1),
                _ => {
                    add(&raw mut (*counts).closed, 1);
                    record_round_trip(counts, (*ctx.ops).srtt_us);
                }
            },
            operation::LISTEN => {
                request(ctx);
                listen(counts, slot, ctx.local_port());
                requests::listen(slot, ctx.local_port() as u16);
            }
            _ => {}
        }
    }
    Some(())
}

/// The slot of the socket; `None` if it is of no container.
#[inline(always)]
fn slot(ctx: &SockOpsContext) -> Option<u32> {
    let ops: *mut bpf_sock_ops = ctx.ops;
    // SAFETY: the context comes from the kernel; the helper accepts any socket of the context and checks its protocol.
    let socket = unsafe {
        let socket = (*ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return None;
        }
        bpf_skc_to_tcp_sock(socket.cast())
    };
    if socket.is_null() {
        return None;
    }
    let slot = slot_of_socket(socket.cast::<u8>());
    (slot != SHARED_SLOT).then_some(slot)
}

/// Requests calls for later events of this socket. The requests of other programs stay.
#[inline(always)]
fn request(ctx: &SockOpsContext) {
    // SAFETY: the context comes from the kernel. The call fails only for a socket in an early state, which another call
    // follows.
    unsafe { bpf_sock_ops_cb_flags_set(ctx.ops, ctx.cb_flags() as i32 | REQUESTED) };
}

/// The counters of a container's slot.
#[inline(always)]
pub(super) fn counters(slot: u32) -> Option<*mut ConnectionCounters> {
    SOCKET_CONNECTIONS.get_ptr_mut(slot)
}

/// Adds a round-trip time as the kernel stores it; 0 if there was no sample.
#[inline(always)]
pub(super) fn record_round_trip(counts: *mut ConnectionCounters, smoothed: u32) {
    if smoothed == 0 {
        return;
    }
    let duration_ns = u64::from(smoothed >> SRTT_SHIFT) * 1000;
    // SAFETY: members of a map element, and `bucket` returns an index within the array.
    unsafe {
        let times: *mut Histogram = &raw mut (*counts).round_trips;
        add(&raw mut (*times).sum_ns, duration_ns);
        let buckets = (&raw mut (*times).buckets).cast::<u64>();
        add(buckets.add(histogram::bucket(duration_ns)), 1);
    }
}

/// Records that a socket listens on a port.
#[inline(always)]
fn listen(counts: *mut ConnectionCounters, slot: u32, port: u32) {
    let key = ListenerKey { slot, port };
    if let Some(sockets) = SOCKET_LISTENERS.get_ptr_mut(&key) {
        // SAFETY: the value of a map element.
        unsafe { add(sockets, 1) };
        return;
    }
    // SAFETY: members of a map element.
    let ports = unsafe { (*counts).ports_entered.wrapping_sub((*counts).ports_removed) };
    if ports >= PORTS_MAX || SOCKET_LISTENERS.insert(&key, &1, ONLY_NEW).is_err() {
        lost::count(Lost::SocketListeners);
        return;
    }
    // SAFETY: a member of a map element.
    unsafe { add(&raw mut (*counts).ports_entered, 1) };
}

/// Records that a socket no longer listens on a port.
#[inline(always)]
fn unlisten(counts: *mut ConnectionCounters, slot: u32, port: u32) {
    let key = ListenerKey { slot, port };
    let Some(sockets) = SOCKET_LISTENERS.get_ptr_mut(&key) else { return };
    // SAFETY: the value of a map element, and a member of another one.
    unsafe {
        add(sockets, u64::MAX);
        if sockets.read_volatile() == 0 && SOCKET_LISTENERS.remove(&key).is_ok() {
            add(&raw mut (*counts).ports_removed, 1);
        }
    }
}
