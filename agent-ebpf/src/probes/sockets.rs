//! IP traffic of the sockets of each container, by protocol. Submodules count connections, resets and drops.
//!
//! Hooks: cgroup_skb ingress and egress (4.10), attached to the cgroup of each container. The kernel runs them for each
//! packet of a socket that was created in that cgroup or in a nested one, on any network, also for loopback. A packet
//! is what the kernel handles as one unit: in a large transfer, tens of KiB with one header. Packets of other processes
//! have no cost.
//!
//! The socket's cgroup comes from the packet (`bpf_skb_cgroup_id`, 4.18), because the ingress program runs in the
//! context of whatever task the packet interrupts.

mod accept_queue;
mod connections;
mod events;
mod owner;
mod unix;

use aya_ebpf::{
    helpers::generated::{bpf_skb_cgroup_id, bpf_tcp_sock},
    macros::{cgroup_skb, map},
    maps::PerCpuArray,
    programs::SkBuffContext,
};
use glassbox_ebpf::{
    containers::{OWNER, SHARED_SLOT},
    sockets::{SocketCounters, protocol},
};

pub(super) use connections::state;

use super::{
    containers::slot_of,
    packet::{Direction, Packet, ip},
};
use crate::read::add;

/// Resized by user space to the configured number of containers.
#[map]
static SOCKETS: PerCpuArray<SocketCounters> = PerCpuArray::with_max_entries(256, 0);

/// The round-trip time of a connection is sampled once per this many TCP packets that a CPU sends for the container,
/// and when the connection is closed. Long connections are thus included at no cost for most packets. Power of two.
const SAMPLED_PACKETS: u64 = 256;

/// Return value that lets a packet pass.
pub(super) const PASS: i32 = 1;

#[cgroup_skb(ingress)]
fn sockets_ingress(ctx: SkBuffContext) -> i32 {
    if let Some((packet, _)) = counted(&ctx, Direction::Ingress) {
        accept_queue::record(&ctx, &packet);
        super::requests::ingress(&ctx, &packet);
    }
    PASS
}

#[cgroup_skb(egress)]
fn sockets_egress(ctx: SkBuffContext) -> i32 {
    if let Some((packet, counts)) = counted(&ctx, Direction::Egress) {
        sample_round_trip(&ctx, &packet, counts);
        super::requests::egress(&ctx, &packet);
    }
    PASS
}

/// The slot of the container whose socket sends or receives a packet.
#[inline(always)]
fn slot_of_packet(ctx: &SkBuffContext) -> u32 {
    // SAFETY: the context comes from the kernel.
    slot_of(unsafe { bpf_skb_cgroup_id(ctx.skb.skb) }) & !OWNER
}

/// Counts a packet of a container and returns its headers and the counters; `None` if it is of no container or has no
/// IP header.
#[inline(always)]
fn counted(ctx: &SkBuffContext, direction: Direction) -> Option<(Packet, *const SocketCounters)> {
    let slot = slot_of_packet(ctx);
    if slot == SHARED_SLOT {
        return None;
    }
    let counts = SOCKETS.get_ptr_mut(slot)?;
    let packet = Packet::read(ctx, direction, slot);
    let protocol = packet.as_ref().map_or(protocol::OTHER, Packet::counted_as);
    // SAFETY: members of a map element, aligned, and `protocol` is below `protocol::COUNT`. Atomic, because a packet
    // that the network stack handles may interrupt one sent by a process on the same CPU.
    unsafe {
        let (bytes, packets) = match direction {
            Direction::Ingress => (&raw mut (*counts).receive_bytes, &raw mut (*counts).receive_packets),
            Direction::Egress => (&raw mut (*counts).transmit_bytes, &raw mut (*counts).transmit_packets),
        };
        add(bytes.cast::<u64>().add(protocol), u64::from(ctx.len()));
        add(packets.cast::<u64>().add(protocol), 1);
    }
    packet.map(|packet| (packet, counts.cast_const()))
}

/// Records the round-trip time of the connection of some packets.
#[inline(always)]
fn sample_round_trip(ctx: &SkBuffContext, packet: &Packet, counts: *const SocketCounters) -> Option<()> {
    if packet.protocol != ip::TCP {
        return None;
    }
    // SAFETY: a member of a map element of this CPU.
    let packets = unsafe { (*counts).transmit_packets[protocol::TCP] };
    if packets & (SAMPLED_PACKETS - 1) != 0 {
        return None;
    }
    // SAFETY: the context comes from the kernel; each pointer is checked for null, as the verifier demands.
    let smoothed = unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return None;
        }
        let socket = bpf_tcp_sock(socket);
        if socket.is_null() {
            return None;
        }
        (*socket).srtt_us
    };
    connections::record_round_trip(connections::counters(packet.slot)?, smoothed);
    Some(())
}
