//! Counts what is found.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use glassbox_ebpf::{
    histogram::{self, Histogram},
    requests::{
        connection::{Connection, Opaque, STATUS, method_of, route_of},
        first_line::{OTHER_ROUTE, route},
        follow::{Observer, Part},
        service::{RESPONSES, RequestCounters, response_index},
    },
};

use super::{REQUEST_ROUTES, REQUESTS};
use crate::read::add;

#[inline(always)]
pub(super) fn now_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// The counters of one container.
pub(super) struct Counting {
    counters: *mut RequestCounters,
}

impl Counting {
    #[inline(always)]
    pub(super) fn of(slot: u32) -> Option<Self> {
        Some(Self { counters: REQUESTS.get_ptr_mut(slot)? })
    }
}

/// Adds to a member of the counters.
macro_rules! count {
    ($self:ident, $member:ident, $amount:expr) => {
        // SAFETY: a member of a map element, aligned.
        unsafe { add(&raw mut (*$self.counters).$member, $amount) }
    };
}

/// Adds a duration to a histogram.
///
/// # Safety
/// `to` must be in a map element.
#[inline(never)]
unsafe fn record(to: *mut Histogram, duration_ns: u64) {
    let mut bucket = histogram::bucket(duration_ns);
    // The verifier does not know the result of the search.
    // SAFETY: copies a register to itself, which hides the value from the compiler.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) bucket) };
    if bucket > histogram::OVERFLOW {
        bucket = histogram::OVERFLOW;
    }
    // SAFETY: guaranteed by the caller; the bucket is within the array.
    unsafe {
        add(&raw mut (*to).sum_ns, duration_ns);
        add((&raw mut (*to).buckets).cast::<u64>().add(bucket), 1);
    }
}

/// Adds a duration to a member of the counters.
macro_rules! record {
    ($self:ident, $member:ident, $duration_ns:expr) => {
        // SAFETY: a member of a map element.
        unsafe { record(&raw mut (*$self.counters).$member, $duration_ns) }
    };
}

impl Observer for Counting {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        now_ns()
    }

    #[inline(always)]
    fn route(&self, words: [u64; 4], skipped: u32) -> u32 {
        REQUEST_ROUTES.get(0).map_or(OTHER_ROUTE, |routes| route(routes, words, skipped))
    }

    #[inline(always)]
    fn responded(&mut self, current: u64, status: u32, waited_ns: u64) {
        let mut index = response_index(method_of(current), status & STATUS, route_of(current));
        // SAFETY: as in `record`.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) index) };
        if index < RESPONSES {
            // SAFETY: a member of a map element, aligned.
            unsafe { add((&raw mut (*self.counters).responses).cast::<u64>().add(index), 1) };
        }
        record!(self, first_byte, waited_ns);
    }

    #[inline(always)]
    fn completed(&mut self, duration_ns: u64) {
        record!(self, duration, duration_ns);
    }

    #[inline(always)]
    fn stream_completed(&mut self, duration_ns: u64) {
        record!(self, stream, duration_ns);
    }

    #[inline(always)]
    fn first_event(&mut self, waited_ns: u64) {
        record!(self, first_event, waited_ns);
    }

    #[inline(always)]
    fn event(&mut self, gap_ns: u64) {
        record!(self, event_gap, gap_ns);
    }

    #[inline(always)]
    fn request_bytes(&mut self, bytes: u64) {
        count!(self, request_bytes, bytes);
    }

    #[inline(always)]
    fn response_bytes(&mut self, bytes: u64) {
        count!(self, response_bytes, bytes);
    }

    #[inline(always)]
    fn aborted(&mut self, requests: u32, by_client: bool) {
        if by_client {
            count!(self, aborted_by_client, u64::from(requests));
        } else {
            count!(self, aborted_by_server, u64::from(requests));
        }
    }

    #[inline(always)]
    fn opaque(&mut self, reason: Opaque) {
        // SAFETY: a member of a map element, aligned; reasons are numbered from 1.
        unsafe { add((&raw mut (*self.counters).opaque).cast::<u64>().add(reason as usize - 1), 1) };
    }

    #[inline(always)]
    fn resynchronized(&mut self) {
        count!(self, resynchronized, 1);
    }

    #[inline(always)]
    fn part(&mut self, _connection: &Connection, _part: Part, _offset: u32, _bytes: u32) {}
}
