//! IP traffic of containers that share the host's network, per container.
//!
//! Hooks: cgroup_skb ingress and egress (4.10), attached only to the cgroups of such containers, so that no other
//! process has a cost. The kernel runs the programs for each packet of a socket that was created in that cgroup or in a
//! nested one. A packet is what the kernel handles as one unit: in a large transfer, tens of KiB with one header.
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
    host_network::HostNetworkCounters,
};

use super::containers::slot_of;
use crate::read::add;

/// Resized by user space to the configured number of containers.
#[map]
static HOST_NETWORK: PerCpuArray<HostNetworkCounters> = PerCpuArray::with_max_entries(256, 0);

/// Return value that lets a packet pass.
const PASS: i32 = 1;

#[cgroup_skb(ingress)]
fn host_network_ingress(ctx: SkBuffContext) -> i32 {
    if let Some(counts) = counts(&ctx) {
        // SAFETY: members of a map element, aligned.
        unsafe {
            add(&raw mut (*counts).receive_bytes, u64::from(ctx.len()));
            add(&raw mut (*counts).receive_packets, 1);
        }
    }
    PASS
}

#[cgroup_skb(egress)]
fn host_network_egress(ctx: SkBuffContext) -> i32 {
    if let Some(counts) = counts(&ctx) {
        // SAFETY: as above. Atomic, because a packet sent by the network stack may interrupt one sent by a process on
        // the same CPU.
        unsafe {
            add(&raw mut (*counts).transmit_bytes, u64::from(ctx.len()));
            add(&raw mut (*counts).transmit_packets, 1);
        }
    }
    PASS
}

#[inline(always)]
fn counts(ctx: &SkBuffContext) -> Option<*mut HostNetworkCounters> {
    // SAFETY: the context comes from the kernel.
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    let slot = slot_of(cgroup) & !OWNER;
    if slot == SHARED_SLOT { None } else { HOST_NETWORK.get_ptr_mut(slot) }
}
