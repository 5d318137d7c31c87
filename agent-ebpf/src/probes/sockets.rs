//! IP traffic of the sockets of each container, by protocol.
//!
//! Hooks: cgroup_skb ingress and egress (4.10), attached to the cgroup of each container. The kernel runs them for each
//! packet of a socket that was created in that cgroup or in a nested one, on any network, also for loopback. A packet is
//! what the kernel handles as one unit: in a large transfer, tens of KiB with one header. Packets of other processes
//! have no cost.
//!
//! The socket's cgroup comes from the packet (`bpf_skb_cgroup_id`, 4.18), because the ingress program runs in the
//! context of whatever task the packet interrupts.

use aya_ebpf::{
    helpers::generated::bpf_skb_cgroup_id,
    macros::{cgroup_skb, map},
    maps::PerCpuArray,
    programs::SkBuffContext,
};
use glassbox_ebpf::{
    containers::{OWNER, SHARED_SLOT},
    sockets::{SocketCounters, protocol},
};

use super::{
    containers::slot_of,
    packet::{Direction, Packet},
};
use crate::read::add;

/// Resized by user space to the configured number of containers.
#[map]
static SOCKETS: PerCpuArray<SocketCounters> = PerCpuArray::with_max_entries(256, 0);

/// Return value that lets a packet pass.
const PASS: i32 = 1;

#[cgroup_skb(ingress)]
fn sockets_ingress(ctx: SkBuffContext) -> i32 {
    if let Some(packet) = counted(&ctx, Direction::Ingress) {
        // Requests: `super::requests::ingress(&ctx, &packet)`.
        let _ = packet;
    }
    PASS
}

#[cgroup_skb(egress)]
fn sockets_egress(ctx: SkBuffContext) -> i32 {
    if let Some(packet) = counted(&ctx, Direction::Egress) {
        // Requests: `super::requests::egress(&ctx, &packet)`.
        let _ = packet;
    }
    PASS
}

/// Counts a packet of a container and returns its headers; `None` if it is of no container or has no IP header.
#[inline(always)]
fn counted(ctx: &SkBuffContext, direction: Direction) -> Option<Packet> {
    // SAFETY: the context comes from the kernel.
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    let slot = slot_of(cgroup) & !OWNER;
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
    packet
}
