//! Counts retries. Failures are kept by client and kind of request; a request is looked up only if the container had a
//! failure in the last 10 s. Other requests cost one load and a comparison.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap},
};
use glassbox_ebpf::requests::{
    connection::{kind_of, route_of},
    retries::{FAILURES, FailureKey, Failures, Recent, is_recent},
    rolled,
    route::ROUTES,
};

use super::{
    REQUESTS,
    observer::{Counting, now_ns},
    source::Source,
};
use crate::read::add;

/// Resized as [`REQUESTS`].
#[map]
static REQUEST_RECENT: Array<Recent> = Array::with_max_entries(256, 0);

#[map]
static REQUEST_FAILURES: LruHashMap<FailureKey, Failures> = LruHashMap::with_max_entries(FAILURES, 0);

/// What happened recently in the container of a slot.
#[inline(always)]
pub(super) fn recent(slot: u32) -> Option<*mut Recent> {
    REQUEST_RECENT.get_ptr_mut(slot)
}

impl<S: Source> Counting<S> {
    /// A request has arrived.
    #[inline(always)]
    pub(super) fn count_if_retry(&self, arrival: u64) {
        let Some(recent) = recent(self.slot) else { return };
        // SAFETY: a member of a map element.
        if is_recent(unsafe { (*recent).failed_ns }, arrival) {
            self.retried(arrival);
        }
    }

    /// A request may be a retry. Not inlined, as the next one: the programs have little room on the stack, so the client's
    /// address is read when it is needed.
    #[inline(never)]
    fn retried(&self, arrival: u64) {
        if let Some([low, high]) = self.source.client() {
            requests_retried(low, high, self.slot, arrival);
        }
    }

    /// A request has failed.
    #[inline(never)]
    pub(super) fn failed(&self, arrival: u64) {
        if let Some([low, high]) = self.source.client() {
            requests_failed(low, high, self.slot, kind_of(arrival));
        }
    }
}

/// Notes a failure. A global function, so that it is verified once (5.6), not once for each state in which it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn requests_failed(low: u64, high: u64, slot: u32, kind: u32) -> u32 {
    let Some(recent) = recent(slot) else { return 0 };
    let now_ns = now_ns();
    // SAFETY: a member of a map element.
    unsafe { (*recent).failed_ns = now_ns };
    let key = FailureKey { client: [low, high], slot, kind };
    match REQUEST_FAILURES.get_ptr_mut(&key) {
        // SAFETY: an element of the map.
        Some(failures) => unsafe { *failures = (*failures).failed(now_ns) },
        None => _ = REQUEST_FAILURES.insert(&key, &Failures::default().failed(now_ns), 0),
    }
    1
}

/// Counts a request if it is a retry. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn requests_retried(low: u64, high: u64, slot: u32, arrival: u64) -> u32 {
    let key = FailureKey { client: [low, high], slot, kind: kind_of(arrival) };
    let Some(failures) = REQUEST_FAILURES.get_ptr_mut(&key) else { return 0 };
    // SAFETY: an element of the map.
    if !unsafe { *failures }.is_retried(arrival) {
        return 0;
    }
    // SAFETY: as above, and aligned.
    unsafe { add(&raw mut (*failures).count, u64::MAX) };
    let Some(counters) = REQUESTS.get_ptr_mut(slot) else { return 0 };
    // The verifier does not know the result, and the compiler knows it too well.
    let route = rolled(route_of(arrival) as usize);
    if route <= ROUTES {
        // SAFETY: a member of a map element, aligned.
        unsafe { add((&raw mut (*counters).retries).cast::<u64>().add(route), 1) };
    }
    1
}
