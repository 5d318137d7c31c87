//! A program that does nothing, on the busiest hook: `cargo xtask bench` subtracts its cost from the others'.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

#[btf_tracepoint(function = "sched_switch")]
fn empty_sched_switch(_ctx: BtfTracePointContext) -> i32 {
    0
}
