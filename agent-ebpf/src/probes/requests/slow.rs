//! Sends a record of each request that took long, if the log of slow requests is on. While it is off, the verifier
//! removes this code.

use aya_ebpf::{macros::map, maps::RingBuf};
use glassbox_ebpf::{
    Lost,
    requests::slow::{End, SLOW_REQUESTS_BYTES, SLOW_REQUESTS_PER_S, SlowRequest},
};

use super::{observer::now_ns, retries::recent};
use crate::{frozen::setting, lost};

#[map]
static REQUEST_SLOW: RingBuf = RingBuf::with_byte_size(SLOW_REQUESTS_BYTES, 0);

/// `BPF_RB_NO_WAKEUP`: user space reads the records at its ticks.
const NO_WAKEUP: u64 = 1;

#[inline(always)]
pub(super) fn record_if_slow(slot: u32, arrival: u64, status: u32, duration_ns: u64, end: End) {
    let slow_ms = setting!(slow_request_ms);
    if slow_ms != 0 && duration_ns >= u64::from(slow_ms) * 1_000_000 {
        requests_slow(slot, arrival, status, end as u32);
    }
}

/// Sends a record. A global function, so that it is verified once (5.6), not once for each state in which it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn requests_slow(slot: u32, arrival: u64, status: u32, end: u32) -> u32 {
    if setting!(slow_request_ms) == 0 {
        return 0;
    }
    let Some(recent) = recent(slot) else { return 0 };
    let ended_ns = now_ns();
    // SAFETY: a member of a map element. CPUs that write at the same time let a record more pass.
    let (may_send, budget) = unsafe { (*recent).slow }.take(ended_ns, SLOW_REQUESTS_PER_S);
    if !may_send {
        lost::count(Lost::SlowRequests);
        return 0;
    }
    // SAFETY: as above.
    unsafe { (*recent).slow = budget };
    let Some(mut entry) = REQUEST_SLOW.reserve::<SlowRequest>(0) else {
        lost::count(Lost::SlowRequests);
        return 0;
    };
    entry.write(SlowRequest { arrival, ended_ns, slot, status, end, reserved: 0 });
    entry.submit(NO_WAKEUP);
    1
}
