//! Retries: a client sends the same kind of request again, shortly after a failure.
//!
//! A failure is a response with status 5xx, 429 or 408, or a connection that ended before the response was complete. Each
//! failure is followed by at most one retry. Addresses stay in the kernel.

use crate::counters::PerSlot;

use super::budget::Budget;

/// Time after a failure in which a request is a retry.
pub const RETRY_NS: u64 = 10_000_000_000;

/// Identifies a client and a kind of request.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureKey {
    /// The client's address as in the packet, without its port: a client may use another connection.
    pub client: [u64; 2],
    /// The container's slot.
    pub slot: u32,
    /// Method and route: [`kind_of`](super::connection::kind_of) the arrival.
    pub kind: u32,
}

const _: () = assert!(size_of::<FailureKey>() == 24);

/// Maximum number of keys with a failure; the kernel removes the least recently used one.
pub const FAILURES: u32 = 2048;

/// Failures of one key that were not retried yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Time of the last one, in ns.
    pub at_ns: u64,
    /// Their number.
    pub count: u64,
}

impl Failures {
    /// After another failure.
    #[inline(always)]
    #[must_use]
    pub const fn failed(self, now_ns: u64) -> Self {
        let recent = if is_recent(self.at_ns, now_ns) && (self.count as i64) > 0 { self.count } else { 0 };
        Self { at_ns: now_ns, count: recent + 1 }
    }

    /// Whether a request that arrives now is a retry. Each failure is retried once. If two CPUs take the last failure at the
    /// same time, the count is below 0 then.
    #[inline(always)]
    #[must_use]
    pub const fn is_retried(self, arrived_ns: u64) -> bool {
        (self.count as i64) > 0 && is_recent(self.at_ns, arrived_ns)
    }
}

/// Whether a failure was at most [`RETRY_NS`] ago. A failure after `now_ns` was not: it may come from another CPU.
#[inline(always)]
#[must_use]
pub const fn is_recent(failed_ns: u64, now_ns: u64) -> bool {
    now_ns.wrapping_sub(failed_ns) < RETRY_NS
}

/// Whether a response with this status is a failure that clients retry.
#[inline(always)]
#[must_use]
pub const fn is_failure(status: u32) -> bool {
    status >= 500 || status == 429 || status == 408
}

/// What happened recently in one container.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Time of the last failure, in ns; 0 if there was none. Most requests arrive long after it, and are not looked up.
    pub failed_ns: u64,
    /// Records of slow requests.
    pub slow: Budget,
    /// First bytes of uploads.
    pub uploads: Budget,
    /// Pieces of job messages.
    pub pieces: Budget,
    /// When a piece was last lost, in ns; 0 if none was.
    pub piece_lost_ns: u64,
}

impl PerSlot for Recent {
    const EMPTY: Self = Self {
        failed_ns: 0,
        slow: Budget::UNUSED,
        uploads: Budget::UNUSED,
        pieces: Budget::UNUSED,
        piece_lost_ns: 0,
    };
}

// SAFETY: `repr(C)`, u64 members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Recent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_retried_once_and_only_for_a_while() {
        let once = Failures::default().failed(100);
        assert!(once.is_retried(100) && once.is_retried(99 + RETRY_NS));
        assert!(!once.is_retried(100 + RETRY_NS), "too late");
        assert!(!once.is_retried(99), "the request is older than the failure");
        assert!(!Failures { count: 0, ..once }.is_retried(101), "it was retried");
        let twice = Failures { count: u64::MAX, ..once };
        assert!(!twice.is_retried(101), "two CPUs have counted one retry each");
        assert_eq!(twice.failed(200).count, 1);
        assert_eq!(once.failed(200), Failures { at_ns: 200, count: 2 });
        assert_eq!(once.failed(100 + RETRY_NS).count, 1, "the first one is forgotten");
    }

    #[test]
    fn errors_of_the_server_and_requests_to_come_back_are_failures() {
        let failures = [500, 503, 599, 429, 408];
        assert!(failures.into_iter().all(is_failure));
        assert!(![200, 301, 400, 401, 404, 499].into_iter().any(is_failure));
    }
}
