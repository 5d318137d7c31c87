//! The work time of a container at recent ticks, for the split of the time of a slow request.
//!
//! All of the last ticks are kept, and fewer of earlier ones: the distance between two samples is at most a quarter of
//! their age. So the arrival of a request is known to the tick if the request was short, and in proportion if it was long.

use std::time::{Duration, Instant};

use crate::snapshot::{
    requests::SlowRequest,
    work::{Activity, WorkTime},
};

/// Maximum number of samples.
const SAMPLES: usize = 48;
/// Older samples are dropped. Longer requests have no split.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// Samples of the sums, in ascending order of time.
#[derive(Debug, Default)]
pub(super) struct History(Vec<(Instant, WorkTime)>);

impl History {
    pub(super) fn add(&mut self, now: Instant, sum: WorkTime) {
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= AGE_MAX) {
            self.0.remove(0);
        }
        if self.0.len() >= SAMPLES
            && let Some(index) = self.least_useful(now)
        {
            self.0.remove(index);
        }
        self.0.push((now, sum));
    }

    /// The sample whose neighbours are closest to each other, in relation to its age.
    fn least_useful(&self, now: Instant) -> Option<usize> {
        let gap = |index: usize| {
            let [before, at, after] = [index - 1, index, index + 1].map(|index| self.0[index].0);
            let age = now.duration_since(at).as_secs_f64();
            after.duration_since(before).as_secs_f64() / age.max(f64::MIN_POSITIVE)
        };
        (1..self.0.len().saturating_sub(1)).min_by(|a, b| gap(*a).total_cmp(&gap(*b)))
    }

    /// What the container's time was spent on while a request was in flight; the sum is the duration of the request.
    /// `None` if the request is older than the samples.
    pub(super) fn split(&self, request: &SlowRequest) -> Option<WorkTime> {
        let arrived = request.ended.checked_sub(request.duration)?;
        let (_, from) = self.0.iter().rev().find(|(at, _)| *at <= arrived)?;
        let (_, to) = self.0.iter().find(|(at, _)| *at >= request.ended).or(self.0.last())?;
        let spent = |activity| to.of(activity).saturating_sub(from.of(activity));
        let total: Duration = Activity::ALL.into_iter().map(spent).sum();
        if total.is_zero() {
            return None;
        }
        // The ticks at both ends contain other work, too.
        let part = request.duration.as_secs_f64() / total.as_secs_f64();
        let mut split = WorkTime::default();
        for activity in Activity::ALL {
            split.add(activity, spent(activity).mul_f64(part));
        }
        Some(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn request(ended: Instant, duration: Duration) -> SlowRequest {
        SlowRequest {
            number: 1,
            method: "GET",
            route: "other".into(),
            code: Some(200),
            ended,
            duration,
            first_byte: None,
            end: crate::snapshot::requests::End::Complete,
        }
    }

    /// A history of `ticks` ticks, of which `busy` were spent on a CPU and the others idle.
    fn history(begun: Instant, ticks: u32, busy: std::ops::Range<u32>) -> History {
        let (mut history, mut sum) = (History::default(), WorkTime::default());
        for tick in 0..ticks {
            history.add(begun + tick * SECOND, sum);
            sum.add(if busy.contains(&tick) { Activity::OnCpu } else { Activity::Idle }, SECOND);
        }
        history
    }

    #[test]
    fn the_split_is_that_of_the_time_in_which_the_request_was_in_flight() {
        let begun = Instant::now();
        let history = history(begun, 30, 10..14);
        let at = |second: f64| begun + Duration::from_secs_f64(second);
        let split = history.split(&request(at(18.0), 8 * SECOND)).unwrap();
        assert_eq!((split.of(Activity::OnCpu), split.of(Activity::Idle)), (4 * SECOND, 4 * SECOND));
        // Ends within ticks: the sum is the duration.
        let split = history.split(&request(at(12.5), SECOND)).unwrap();
        assert_eq!((split.of(Activity::OnCpu), split.total()), (SECOND, SECOND));
        // After the last sample.
        assert!(history.split(&request(at(29.5), SECOND)).is_some());
        assert_eq!(history.split(&request(at(5.0), 6 * SECOND)), None, "older than the samples");
    }

    #[test]
    fn a_request_without_counted_work_has_no_split() {
        let begun = Instant::now();
        let mut history = History::default();
        (0..5).for_each(|tick| history.add(begun + tick * SECOND, WorkTime::default()));
        assert_eq!(history.split(&request(begun + 3 * SECOND, SECOND)), None);
    }

    #[test]
    fn samples_are_few_and_their_distance_is_a_part_of_their_age() {
        let begun = Instant::now();
        for ticks in [10_u32, 100, 1000, 3600, 20_000] {
            let history = history(begun, ticks, 0..0);
            let now = begun + (ticks - 1) * SECOND;
            assert!(history.0.len() <= SAMPLES);
            for pair in history.0.windows(2) {
                let [(before, _), (after, _)] = pair else { panic!("no pair") };
                let (gap, age) = (after.duration_since(*before), now.duration_since(*before));
                assert!(gap <= SECOND.max(age / 4), "{ticks}: {gap:?} at an age of {age:?}");
            }
            let reaches = now.duration_since(history.0[0].0);
            assert!(reaches >= AGE_MAX.min((ticks - 1) * SECOND), "{ticks}: {reaches:?}");
            assert!(reaches <= AGE_MAX * 4 / 3, "{ticks}: {reaches:?}");
        }
    }
}
