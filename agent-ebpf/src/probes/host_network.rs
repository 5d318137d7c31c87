//! IP traffic of containers that share the host's network, per container.
//!
//! Hooks: cgroup_skb ingress and egress (4.10), attached to the cgroups of such containers alone, so that nobody else
//! pays. The kernel runs them for each packet of a socket that was made in that cgroup or in one nested in it. A packet is
//! what the kernel handles as one: of a large transfer, tens of KiB with one header.
//!
//! Whose socket it is stands in the packet (`bpf_skb_cgroup_id`, 4.18): receiving runs wherever the packet came in.

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

/// What the kernel is told of a packet: go on.
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
        // SAFETY: as above. Atomic, since a packet that is sent by a process may be interrupted by one that is sent by
        // the network stack on the same CPU.
        unsafe {
            add(&raw mut (*counts).transmit_bytes, u64::from(ctx.len()));
            add(&raw mut (*counts).transmit_packets, 1);
        }
    }
    PASS
}

#[inline(always)]
fn counts(ctx: &SkBuffContext) -> Option<*mut HostNetworkCounters> {
    // SAFETY: the context is the kernel's.
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    let slot = slot_of(cgroup) & !OWNER;
    if slot == SHARED_SLOT { None } else { HOST_NETWORK.get_ptr_mut(slot) }
}
