//! Programs that do nothing, for the hooks of the other probes. `cargo xtask bench` subtracts their cost.

use aya_ebpf::{
    macros::{btf_tracepoint, cgroup_skb, kprobe, kretprobe, tracepoint},
    programs::{BtfTracePointContext, ProbeContext, RetProbeContext, SkBuffContext, TracePointContext},
};

#[btf_tracepoint(function = "sched_switch")]
fn empty_sched_switch(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[tracepoint]
fn empty_ioctl(_ctx: TracePointContext) -> u32 {
    0
}

#[kprobe]
fn empty_call(_ctx: ProbeContext) -> u32 {
    0
}

#[kretprobe]
fn empty_return(_ctx: RetProbeContext) -> u32 {
    0
}

/// Lets every packet pass.
#[cgroup_skb(ingress)]
fn empty_ingress(_ctx: SkBuffContext) -> i32 {
    1
}

/// Lets every packet pass.
#[cgroup_skb(egress)]
fn empty_egress(_ctx: SkBuffContext) -> i32 {
    1
}
