//! The [`Rates`] of each running container: counters of now, compared with those of half a minute ago. Uses about 200
//! bytes per container.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{ContainerRow, Snapshot, rates::Rates},
};

/// Interval between two records of the counters, and the number of records: they cover half a minute.
const SAMPLE_PERIOD: Duration = Duration::from_secs(10);
const SAMPLES_MAX: usize = 4;

/// Computes the rates at every tick.
#[derive(Default)]
pub struct RecentRates {
    /// By the key of the run.
    histories: HashMap<u64, VecDeque<Sample>>,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    cpu_ns: Option<u64>,
    wait_ns: Option<u64>,
}

impl Derivation for RecentRates {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, now: Moment) {
        let mut histories = HashMap::with_capacity(self.histories.len());
        for row in snapshot.containers.iter_mut().filter(|row| row.is_running()) {
            let mut history = self.histories.remove(&row.key).unwrap_or_default();
            let sample = Sample::of(row, now.monotonic);
            row.rates = history.front().map(|first| sample.since(first)).unwrap_or_default();
            if history.back().is_none_or(|last| now.monotonic.duration_since(last.at) >= SAMPLE_PERIOD) {
                history.push_back(sample);
            }
            while history.len() > SAMPLES_MAX {
                history.pop_front();
            }
            histories.insert(row.key, history);
        }
        self.histories = histories;
    }
}

impl Sample {
    fn of(row: &ContainerRow, at: Instant) -> Self {
        let wait_ns = row.scheduler.as_ref().map(|scheduler| scheduler.waits.sum_ns);
        Self { at, cpu_ns: row.cgroup.cpu.usage_ns, wait_ns }
    }

    fn since(&self, earlier: &Self) -> Rates {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        // Counters of the same run; one that decreases nevertheless is unknown.
        let per_second = |now: Option<u64>, then: Option<u64>| {
            let grown_ns = now?.checked_sub(then?)?;
            (seconds > 0.0).then(|| grown_ns as f64 / 1e9 / seconds)
        };
        Rates {
            cpu_cores: per_second(self.cpu_ns, earlier.cpu_ns),
            waiting: per_second(self.wait_ns, earlier.wait_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::snapshot::{
        Delivery,
        agent::AgentUsage,
        host::Host,
        identity::Identity,
        scheduler::{Histogram, SchedulerCounters},
    };

    const SECOND_NS: u64 = 1_000_000_000;

    /// The rates of a container after each tick, with its CPU time and its waits in seconds.
    fn rates(ticks: &[(u64, u64, u64)]) -> (Vec<Rates>, RecentRates) {
        let begun = Instant::now();
        let mut derivation = RecentRates::default();
        let mut found = Vec::new();
        for (at, cpu, wait) in ticks {
            let mut row = ContainerRow::new(Arc::new(Identity::default()), SystemTime::UNIX_EPOCH);
            row.cgroup.cpu.usage_ns = Some(cpu * SECOND_NS);
            let waits = Histogram { sum_ns: wait * SECOND_NS, ..Histogram::default() };
            row.scheduler = Some(Box::new(SchedulerCounters { waits, ..SchedulerCounters::default() }));
            let mut snapshot = Snapshot {
                delivery: Delivery::default(),
                taken_at: SystemTime::UNIX_EPOCH,
                containers: vec![row],
                host: Host::default(),
                agent: AgentUsage::default(),
            };
            let now = Moment { wall: SystemTime::UNIX_EPOCH, monotonic: begun + Duration::from_secs(*at) };
            derivation.derive(&mut snapshot, Recent::default(), now);
            found.push(snapshot.containers[0].rates);
        }
        (found, derivation)
    }

    #[test]
    fn rates_are_those_since_the_first_record_within_half_a_minute() {
        let (found, _) = rates(&[
            (0, 100, 7),
            (1, 101, 9),
            (10, 105, 9),
            (20, 105, 9),
            (30, 105, 9),
            (40, 105, 9),
            (50, 105, 9),
        ]);
        let of = |cpu_cores, waiting| Rates { cpu_cores: Some(cpu_cores), waiting: Some(waiting) };
        assert_eq!(found[..3], [Rates::default(), of(1.0, 2.0), of(0.5, 0.2)]);
        assert_eq!(found[6], of(0.0, 0.0), "what happened before the last half minute is forgotten");
    }

    #[test]
    fn a_counter_that_decreases_has_no_rate() {
        let (found, _) = rates(&[(0, 100, 7), (1, 99, 8)]);
        assert_eq!(found[1], Rates { cpu_cores: None, waiting: Some(1.0) });
    }

    #[test]
    fn the_history_is_bounded_and_dropped_with_its_container() {
        let ticks: Vec<_> = (0..200).map(|at| (at, at, at)).collect();
        let (_, mut derivation) = rates(&ticks);
        assert_eq!(derivation.histories[&0].len(), SAMPLES_MAX);
        let mut empty = Snapshot {
            delivery: Delivery::default(),
            taken_at: SystemTime::UNIX_EPOCH,
            containers: Vec::new(),
            host: Host::default(),
            agent: AgentUsage::default(),
        };
        derivation.derive(&mut empty, Recent::default(), Moment::now());
        assert!(derivation.histories.is_empty());
    }
}
