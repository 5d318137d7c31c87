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
    requests::connection::ConnectionKey,
    sockets::{ConnectionCounters, LISTENERS, ListenerKey, PORTS_MAX},
};

use super::{super::requests, owner::slot_of_socket};
use crate::{
    frozen::offset,
    lost,
    read::{add, field},
};

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
pub(in crate::probes) mod state {
    pub(in crate::probes) const SYN_SENT: u32 = 2;
    pub(in crate::probes) const TIME_WAIT: u8 = 6;
    pub(in crate::probes) const CLOSE: u32 = 7;
    pub(in crate::probes) const LISTEN: u32 = 10;
    pub(in crate::probes) const NEW_SYN_RECV: u8 = 12;
}

const AF_INET6: u32 = 10;
/// The first words of an IPv6 address that stands for an IPv4 address.
const MAPPED: [u32; 3] = [0, 0, 0xffff_u32.to_be()];

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
    let socket = socket(ctx)?;
    let slot = slot_of_socket(socket);
    if slot == SHARED_SLOT {
        return None;
    }
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
                requests::accepted(&connection_key(ctx, slot));
            }
            operation::RETRANSMITTED => {
                add(&raw mut (*counts).retransmitted_segments, u64::from(ctx.arg(1)));
                requests::sent_again(&connection_key(ctx, slot));
            }
            operation::STATE if ctx.arg(1) == state::CLOSE => match ctx.arg(0) {
                state::LISTEN => unlisten(counts, slot, ctx.local_port()),
                state::SYN_SENT => add(&raw mut (*counts).failed, 1),
                _ => {
                    add(&raw mut (*counts).closed, 1);
                    record_round_trip(counts, (*ctx.ops).srtt_us);
                    requests::closed(&connection_key(ctx, slot), has_error(socket), (*ctx.ops).snd_nxt);
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

/// The socket, as a pointer with a type.
#[inline(always)]
fn socket(ctx: &SockOpsContext) -> Option<*const u8> {
    let ops: *mut bpf_sock_ops = ctx.ops;
    // SAFETY: the context comes from the kernel; the helper accepts any socket of the context and checks its protocol.
    let socket = unsafe {
        let socket = (*ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return None;
        }
        bpf_skc_to_tcp_sock(socket.cast())
    };
    (!socket.is_null()).then_some(socket.cast::<u8>().cast_const())
}

/// Whether the kernel has given up the connection. If not, the container has closed the socket.
#[inline(always)]
fn has_error(socket: *const u8) -> bool {
    field::<i32>(socket, offset!(sock_err)).unwrap_or_default() != 0
}

/// What identifies the connection of a socket, as its packets do.
#[inline(always)]
fn connection_key(ctx: &SockOpsContext, slot: u32) -> ConnectionKey {
    let ops = ctx.ops;
    // SAFETY: the context comes from the kernel; each word is read by itself, at a fixed place, as the verifier demands.
    let (local, remote) = unsafe {
        let words = |from: *const u32| [0, 1, 2, 3].map(|word| from.add(word).read_volatile());
        let remote = words((&raw const (*ops).remote_ip6).cast());
        // The packets of a socket for both families may be IPv4.
        if (*ops).family == AF_INET6 && remote[..3] != MAPPED {
            (words((&raw const (*ops).local_ip6).cast()), remote)
        } else {
            ([(*ops).local_ip4, 0, 0, 0], [(*ops).remote_ip4, 0, 0, 0])
        }
    };
    let [a, b, c, d] = local;
    // SAFETY: as above. The remote port is in the network's byte order.
    let remote_port = unsafe { u32::from_be((*ops).remote_port) } & 0xffff;
    ConnectionKey { remote, ports: ctx.local_port() << 16 | remote_port, local: a ^ b ^ c ^ d, slot }
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
