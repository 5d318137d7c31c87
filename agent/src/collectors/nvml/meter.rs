//! A counter of NVML with a limit on its growth.
//!
//! An impossible reading must not remain in a counter, or in values derived from it, for the rest of the agent's run. A
//! reading that is too far ahead is rejected. If the next reading continues from there, the counter continues from the
//! new level without the jump. So the sum never grows faster than is physically possible.

use std::time::{Duration, Instant};

use super::plausible::{Checks, Quantity};

/// Tolerance, because NVML updates a counter at other times than it is read.
const SLACK: Duration = Duration::from_secs(1);

/// The first value of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The first reading: the counter is older than the agent.
    AtReading,
    /// Zero.
    AtZero,
}

/// The width of the counter in NVML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// 32 bits: it wraps at 2^32.
    Short,
    /// 64 bits: a decrease means that it was reset.
    Long,
}

/// A reading of a counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) value: u64,
    pub(super) width: Width,
    /// Maximum growth per second.
    pub(super) per_second: f64,
    pub(super) at: Instant,
}

/// The sum of a counter's growth.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Option<(u64, Instant)>,
    /// A rejected reading, which the next one may confirm.
    doubtful: Option<(u64, Instant)>,
    total: u64,
}

impl Meter {
    /// The sum so far and its growth. An impossible reading is counted as rejected and returns `None`.
    pub(super) fn add(
        &mut self,
        quantity: Quantity,
        count: Count,
        begin: Begin,
        checks: &mut Checks,
    ) -> Option<(u64, u64)> {
        let Count { value, width, at, .. } = count;
        checks.count(quantity, value)?;
        let Some((last, last_at)) = self.last else {
            self.last = Some((value, at));
            self.total = if begin == Begin::AtReading { value } else { 0 };
            return Some((self.total, 0));
        };
        let grown = match width {
            _ if value >= last => value - last,
            Width::Short => value.saturating_add(1 << 32).saturating_sub(last),
            Width::Long => value,
        };
        let grown = if is_possible(&count, grown, last_at) {
            grown
        } else {
            let confirmed = self.doubtful.and_then(|(doubtful, doubted_at)| {
                let grown = value.checked_sub(doubtful)?;
                is_possible(&count, grown, doubted_at).then_some(grown)
            });
            let Some(grown) = confirmed else {
                self.doubtful = Some((value, at));
                checks.reject(quantity);
                return None;
            };
            grown
        };
        self.last = Some((value, at));
        self.doubtful = None;
        self.total = self.total.saturating_add(grown);
        Some((self.total, grown))
    }
}

fn is_possible(count: &Count, grown: u64, since: Instant) -> bool {
    let seconds = (count.at.saturating_duration_since(since) + SLACK).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a limit does not need exact precision")]
    let grown = grown as f64;
    grown <= count.per_second * seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The totals after readings at these seconds, of a counter that grows by at most 1,000 per second, and the number
    /// of rejected readings.
    fn totals(begin: Begin, width: Width, readings: &[(u64, u64)]) -> (Vec<Option<u64>>, u64) {
        let start = Instant::now();
        let (mut meter, mut checks) = (Meter::default(), Checks::default());
        let mut add = |&(second, value): &(u64, u64)| {
            let at = start + Duration::from_secs(second);
            let count = Count { value, width, per_second: 1_000.0, at };
            Some(meter.add(Quantity::PcieBytes, count, begin, &mut checks)?.0)
        };
        let totals = readings.iter().map(&mut add).collect();
        (totals, checks.all().iter().map(|(_, count)| count).sum())
    }

    #[test]
    fn a_short_counter_continues_after_it_wraps() {
        let max = u64::from(u32::MAX);
        let readings = [(0, max - 500), (1, max - 5), (2, 4), (3, 10)];
        let (totals, rejected) = totals(Begin::AtZero, Width::Short, &readings);
        assert_eq!((totals, rejected), (vec![Some(0), Some(495), Some(505), Some(511)], 0));
    }

    #[test]
    fn a_decreasing_long_counter_counts_as_reset() {
        let readings = [(0, 1_000), (1, 1_500), (2, 20)];
        let (totals, rejected) = totals(Begin::AtReading, Width::Long, &readings);
        assert_eq!((totals, rejected), (vec![Some(1_000), Some(1_500), Some(1_520)], 0));
    }

    #[test]
    fn one_impossible_reading_does_not_change_the_sum() {
        let readings =
            [(0, 1_000), (1, 1_500), (2, u64::MAX - 2_047), (3, 5_000_000), (4, 2_500), (5, 0), (6, 3_500)];
        let (totals, rejected) = totals(Begin::AtReading, Width::Long, &readings);
        // The 0 looks like a reset, and the readings after it like possible growth.
        let expected = [Some(1_000), Some(1_500), None, None, Some(2_500), Some(2_500), None];
        assert_eq!((totals, rejected), (expected.to_vec(), 3));
    }

    #[test]
    fn a_confirmed_new_level_is_used_without_the_jump() {
        let readings = [(0, 9_000_000), (1, 0), (2, 9_000_500), (3, 9_001_000), (4, 9_001_300)];
        let (totals, rejected) = totals(Begin::AtReading, Width::Long, &readings);
        let expected = [Some(9_000_000), Some(9_000_000), None, Some(9_000_500), Some(9_000_800)];
        assert_eq!((totals, rejected), (expected.to_vec(), 1));
    }

    proptest! {
        #[test]
        fn the_sum_never_grows_faster_than_the_limit(
            readings in prop::collection::vec((0_u64..10, prop_oneof![any::<u64>(), 0_u64..5_000]), 1..40),
            short in any::<bool>(),
        ) {
            let mut second = 0;
            let readings: Vec<_> = readings.into_iter().map(|(wait, value)| { second += wait; (second, value) }).collect();
            let width = if short { Width::Short } else { Width::Long };
            let (totals, _) = totals(Begin::AtZero, width, &readings);
            let known: Vec<_> = totals.iter().zip(&readings).filter_map(|(total, (at, _))| Some(((*total)?, *at))).collect();
            for pair in known.windows(2) {
                prop_assert!(pair[1].0 >= pair[0].0);
                prop_assert!(pair[1].0 - pair[0].0 <= 1_000 * (pair[1].1 - pair[0].1 + 1), "{known:?}");
            }
        }
    }
}
