//! A counter of NVML that only grows as fast as is physically possible.
//!
//! One impossible reading must not stay in a counter for as long as the agent runs, nor in what is derived from it. A
//! reading that is too far ahead is rejected; if the next one continues from there, the counter goes on from the new level,
//! without the jump. So the sum never grows faster than the hardware can.

use std::time::{Duration, Instant};

use super::plausible::{Checks, Quantity};

/// Readings are taken at other times than the counter is updated.
const SLACK: Duration = Duration::from_secs(1);

/// What the sum begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the first reading: the counter is older than the agent.
    AtReading,
    /// With nothing.
    AtZero,
}

/// How the counter is kept by NVML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// In 32 bits: it starts again at 2^32.
    Short,
    /// In 64 bits: it falls only if it was reset.
    Long,
}

/// A reading of a counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) value: u64,
    pub(super) width: Width,
    /// The most that it can grow by in a second.
    pub(super) per_second: f64,
    pub(super) at: Instant,
}

/// The sum of a counter's growth.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Option<(u64, Instant)>,
    /// A reading that was rejected, which the next one may confirm.
    doubtful: Option<(u64, Instant)>,
    total: u64,
}

impl Meter {
    /// The sum so far and how much it grew; `None`, and counted, if the reading is impossible.
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
    #[expect(clippy::cast_precision_loss, reason = "a limit needs no 53 bits")]
    let grown = grown as f64;
    grown <= count.per_second * seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Readings at these seconds, of a counter that grows by up to 1,000 per second.
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
    fn a_short_counter_goes_on_after_it_wrapped() {
        let max = u64::from(u32::MAX);
        let readings = [(0, max - 500), (1, max - 5), (2, 4), (3, 10)];
        let (totals, rejected) = totals(Begin::AtZero, Width::Short, &readings);
        assert_eq!((totals, rejected), (vec![Some(0), Some(495), Some(505), Some(511)], 0));
    }

    #[test]
    fn a_long_counter_that_falls_was_reset() {
        let readings = [(0, 1_000), (1, 1_500), (2, 20)];
        let (totals, rejected) = totals(Begin::AtReading, Width::Long, &readings);
        assert_eq!((totals, rejected), (vec![Some(1_000), Some(1_500), Some(1_520)], 0));
    }

    #[test]
    fn one_impossible_reading_leaves_no_trace() {
        let readings =
            [(0, 1_000), (1, 1_500), (2, u64::MAX - 2_047), (3, 5_000_000), (4, 2_500), (5, 0), (6, 3_500)];
        let (totals, rejected) = totals(Begin::AtReading, Width::Long, &readings);
        // 0 looks like a reset, and what follows like growth that is possible.
        let expected = [Some(1_000), Some(1_500), None, None, Some(2_500), Some(2_500), None];
        assert_eq!((totals, rejected), (expected.to_vec(), 3));
    }

    #[test]
    fn a_new_level_that_is_confirmed_is_taken_over_without_the_jump() {
        let readings = [(0, 9_000_000), (1, 0), (2, 9_000_500), (3, 9_001_000), (4, 9_001_300)];
        let (totals, rejected) = totals(Begin::AtReading, Width::Long, &readings);
        let expected = [Some(9_000_000), Some(9_000_000), None, Some(9_000_500), Some(9_000_800)];
        assert_eq!((totals, rejected), (expected.to_vec(), 1));
    }

    proptest! {
        #[test]
        fn no_sum_grows_faster_than_is_possible(
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
