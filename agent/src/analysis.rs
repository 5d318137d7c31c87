//! The stage between the collectors and the publication of a snapshot: derives values from the new snapshot and from
//! recent ones. Collectors read data; derivations only compute, and read no file, map or socket.
//!
//! To add a derivation, implement [`Derivation`] in a new module and add it to the list in [`Analysis::new`].

pub mod earlier_runs;
pub mod exit_reason;
pub mod gpu_state;
pub mod health;
pub mod memory_leak;
pub mod problems;
pub mod rates;
mod recent;
pub mod slow_log;
pub mod waits;
pub mod work;
pub mod work_time;
pub mod xids;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use self::recent::Recent;
use crate::{config::Config, containers::Moment, snapshot::Snapshot};

/// Adds derived values to the new snapshot.
pub trait Derivation: Send {
    /// Derives values from `snapshot` and `recent` snapshots, and writes them into `snapshot`. Called once per tick. A
    /// derivation may keep its own history, bounded per container.
    fn derive(&mut self, snapshot: &mut Snapshot, recent: Recent<'_>, now: Moment);

    /// Applies the keys that change while the agent runs ([`Config::adopt`]).
    fn configure(&mut self, _config: &Config) {}
}

/// All derivations, in the order in which they run. Later ones see the values of earlier ones.
pub struct Analysis(Vec<(&'static str, Box<dyn Derivation>)>);

impl Analysis {
    /// All derivations that the configuration enables.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut all: Vec<(&'static str, Box<dyn Derivation>)> = vec![
            ("xids", Box::new(xids::JoinXids)),
            // Before the counters of earlier runs are added, because the GPU state is that of the current run.
            ("gpu_state", Box::new(gpu_state::GpuStates::default())),
            // As above: memory does not continue in the next run.
            ("memory_leak", Box::new(memory_leak::MemoryLeaks::default())),
            ("earlier_runs", Box::new(earlier_runs::EarlierRuns)),
            // After them, because the refusals and GPUs of an earlier run belong to its exit.
            ("exit_reason", Box::new(exit_reason::ExitReasons::default())),
            // After them, because the sums continue across runs.
            ("work_time", Box::new(work_time::WorkTimes::default())),
            ("health", Box::new(health::HealthStates::new(*config.health.stuck_after_s))),
            ("rates", Box::new(rates::RecentRates::default())),
            // After the rates, which show whether a container gets too little CPU time.
            ("problems", Box::new(problems::Problems::default())),
        ];
        if !config.requests.slow_after_ms.is_zero() {
            // After the work time, of which each line has a part.
            all.push(("slow_log", Box::new(slow_log::SlowLog::default())));
        }
        Self(all)
    }

    /// Applies the keys that change while the agent runs.
    pub fn configure(&mut self, config: &Config) {
        self.0.iter_mut().for_each(|(_, derivation)| derivation.configure(config));
    }

    /// Runs all derivations. A derivation that panics is disabled.
    pub fn derive(&mut self, snapshot: &mut Snapshot, recent: Recent<'_>, now: Moment) {
        self.0.retain_mut(|(name, derivation)| {
            let outcome = catch_unwind(AssertUnwindSafe(|| derivation.derive(snapshot, recent, now)));
            if outcome.is_err() {
                tracing::error!("derivation {name} panicked and is disabled until the agent restarts");
            }
            outcome.is_ok()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Delivery, agent::AgentUsage, host::Host};

    struct Panics;

    impl Derivation for Panics {
        fn derive(&mut self, _: &mut Snapshot, _: Recent<'_>, _: Moment) {
            panic!("a bug");
        }
    }

    struct Counts;

    impl Derivation for Counts {
        fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, _: Moment) {
            snapshot.agent.ticks += 1;
        }
    }

    #[test]
    fn a_derivation_that_panics_is_disabled_and_the_others_continue() {
        let mut analysis = Analysis(vec![("panics", Box::new(Panics)), ("counts", Box::new(Counts))]);
        let mut snapshot = Snapshot {
            delivery: Delivery::default(),
            taken_at: std::time::SystemTime::UNIX_EPOCH,
            containers: Vec::new(),
            host: Host::default(),
            agent: AgentUsage::default(),
        };
        for expected in [1, 2] {
            analysis.derive(&mut snapshot, Recent::default(), Moment::now());
            assert_eq!((snapshot.agent.ticks, analysis.0.len()), (expected, 1));
        }
    }
}
