//! Programs for tests: packets that are lost. The agent never attaches them.
//!
//! The programs of a cgroup lose packets between the agent's programs and the socket or the network: the kernel runs all
//! programs of a cgroup for each packet, even if one of them drops it. The program of a link loses packets before they
//! reach the agent's programs, so that these see segments out of order.

use aya_ebpf::{
    helpers::generated::bpf_get_prandom_u32,
    macros::{cgroup_skb, classifier},
    programs::{SkBuffContext, TcContext},
};

/// One of this many packets is lost.
const PACKETS_PER_LOSS: u32 = 50;

#[cgroup_skb(ingress)]
fn lossy_ingress(_ctx: SkBuffContext) -> i32 {
    passes()
}

#[cgroup_skb(egress)]
fn lossy_egress(_ctx: SkBuffContext) -> i32 {
    passes()
}

const TC_ACT_OK: i32 = 0;
const TC_ACT_SHOT: i32 = 2;

#[classifier]
fn lossy_link(_ctx: TcContext) -> i32 {
    if passes() == 1 { TC_ACT_OK } else { TC_ACT_SHOT }
}

#[inline(always)]
fn passes() -> i32 {
    // SAFETY: the helper has no preconditions.
    i32::from(unsafe { bpf_get_prandom_u32() } % PACKETS_PER_LOSS != 0)
}
