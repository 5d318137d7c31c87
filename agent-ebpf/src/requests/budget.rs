//! Limits how much of a ring buffer one container can fill: a number of records per second of uptime.

/// The number of records of one kind from one container, limited per second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget(u64);

const COUNT_BITS: u32 = 16;

impl Budget {
    /// Nothing used.
    pub const UNUSED: Self = Self(0);

    /// Whether one more record may be sent if `per_second` (below 2^16) are allowed, and the budget afterwards.
    #[inline(always)]
    #[must_use]
    pub const fn take(self, now_ns: u64, per_second: u64) -> (bool, Self) {
        let second = now_ns / 1_000_000_000;
        let used = if self.0 >> COUNT_BITS == second { self.0 & ((1 << COUNT_BITS) - 1) } else { 0 };
        if used >= per_second { (false, self) } else { (true, Self(second << COUNT_BITS | (used + 1))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_S: u64 = 16;

    #[test]
    fn a_container_sends_a_limited_number_of_records_per_second() {
        let mut budget = Budget::UNUSED;
        for second in [7_u64, 8, 100] {
            let mut sent = 0;
            for part in 0..50 {
                let (may_send, after) = budget.take(second * 1_000_000_000 + part, PER_S);
                budget = after;
                sent += u64::from(may_send);
            }
            assert_eq!(sent, PER_S);
        }
    }
}
