//! One collector as the tick runs it: timed, its errors counted and logged once, and left out for good once it panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    collectors::{Collector, NoKernelPrograms, Spec},
    containers::tracker::Tracker,
    kernel::Kernel,
    snapshot::{agent::CollectorStatus, host::Host},
};

/// A collector, and how it fares.
pub(super) struct Running {
    pub(super) status: CollectorStatus,
    /// `None` where it could not start or has panicked.
    collector: Option<Box<dyn Collector>>,
    last_error: String,
    /// What the collector cannot do here; it counts as down.
    limitation: Option<String>,
}

impl Running {
    /// A collector that has started, or the reason why it could not, which is logged.
    pub(super) fn new(spec: &Spec, outcome: anyhow::Result<Box<dyn Collector>>) -> Self {
        let collector = outcome
            .inspect_err(|error| {
                // The reason was logged when loading them failed.
                if error.is::<NoKernelPrograms>() {
                    tracing::warn!(
                        "collector {} is off: kernel programs are not loaded, see above",
                        spec.name
                    );
                } else {
                    tracing::warn!("collector {} is off: {error:#}", spec.name);
                }
            })
            .ok();
        let up = collector.is_some();
        let status = CollectorStatus { name: spec.name, up, duration: Duration::ZERO, errors: 0 };
        let mut running = Self { status, collector, last_error: String::new(), limitation: None };
        running.note_limitation();
        running
    }

    /// Calls the collector, if it runs. One that panics is left out from then on.
    pub(super) fn with<R>(&mut self, call: impl FnOnce(&mut dyn Collector) -> R) -> Option<R> {
        let collector = self.collector.as_mut()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| call(collector.as_mut())));
        if outcome.is_err() {
            tracing::error!("collector {} panicked and is off from now on", self.status.name);
            self.collector = None;
            self.status.up = false;
        }
        outcome.ok()
    }

    /// When the collector has to be called before the next tick.
    pub(super) fn attend_at(&mut self) -> Option<Instant> {
        self.with(|collector| collector.attend_at()).flatten()
    }

    /// One run over all living containers.
    pub(super) fn collect_all(
        &mut self,
        tracker: &mut Tracker,
        kernel: Option<&mut Kernel>,
        host: &mut Host,
        now: SystemTime,
    ) {
        let begun = Instant::now();
        let (mut succeeded, mut errors, mut failed) = (0u32, 0, None);
        let outcome = self.with(|collector| {
            collector.refresh(kernel);
            for entry in tracker.living() {
                if entry.row.is_running() {
                    entry.row.last_seen = now;
                }
                match collector.collect(&entry.container, &mut entry.row) {
                    Ok(()) => succeeded += 1,
                    Err(error) => {
                        errors += 1;
                        failed = Some(error.context(format!("container {}", entry.container.identity.id)));
                    }
                }
            }
            collector.collect_host(host);
        });
        self.status.errors += errors;
        if outcome.is_none() {
            return;
        }
        self.status.duration = begun.elapsed();
        self.status.up = succeeded > 0 || failed.is_none();
        self.note_limitation();
        if let Some(error) = failed {
            self.report(&error);
        }
    }

    /// A collector with a limitation counts as down; each is logged once.
    fn note_limitation(&mut self) {
        let limitation = self.with(|collector| collector.limitation().map(str::to_owned)).flatten();
        if let Some(reason) = &limitation {
            self.status.up = false;
            if self.limitation.as_ref() != Some(reason) {
                tracing::warn!("collector {} is limited: {reason}", self.status.name);
            }
        }
        self.limitation = limitation;
    }

    /// Logs an error unless it is the one logged last: a broken file must not fill the disk.
    fn report(&mut self, error: &anyhow::Error) {
        let text = format!("{:#}", error.root_cause());
        if text != self.last_error {
            tracing::warn!("collector {}: {error:#}", self.status.name);
            self.last_error = text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        containers::{
            Moment,
            directory::Directory,
            tracker::{Container, Sighting},
        },
        snapshot::{ContainerRow, identity::Runtime},
    };

    struct Erring(fn() -> anyhow::Result<()>);

    impl Collector for Erring {
        fn collect(&mut self, _: &Container, _: &mut ContainerRow) -> anyhow::Result<()> {
            (self.0)()
        }
    }

    fn run_twice(collect: fn() -> anyhow::Result<()>) -> Running {
        let mut tracker = Tracker::new(Directory::new(), Vec::new(), Duration::ZERO, 1);
        let now = SystemTime::now();
        let sighting = Sighting {
            id: &"a".repeat(64),
            runtime: Runtime::Docker,
            cgroup_path: "/docker/a",
            cgroup_id: 1,
            slot: None,
            made_at: None,
        };
        tracker.add(&sighting, Moment::now());
        let status = CollectorStatus { name: "erring", up: true, duration: Duration::ZERO, errors: 0 };
        let mut running = Running {
            status,
            collector: Some(Box::new(Erring(collect))),
            last_error: String::new(),
            limitation: None,
        };
        running.collect_all(&mut tracker, None, &mut Host::default(), now);
        running.collect_all(&mut tracker, None, &mut Host::default(), now);
        running
    }

    #[test]
    fn a_collector_that_panics_is_off_from_then_on() {
        let running = run_twice(|| panic!("a bug"));
        assert!(running.collector.is_none() && !running.status.up);
    }

    #[test]
    fn a_collector_that_panics_between_ticks_is_off_from_then_on() {
        let mut running = run_twice(|| Ok(()));
        assert!(running.status.up);
        assert_eq!(running.with(|collector| collector.outlives_cgroup()), Some(false));
        assert_eq!(running.with(|_| -> u8 { panic!("a bug in an event") }), None);
        assert!(running.collector.is_none() && !running.status.up);
        assert_eq!(running.with(|collector| collector.outlives_cgroup()), None);
    }

    #[test]
    fn a_collector_that_errs_is_down_and_tried_again() {
        let running = run_twice(|| anyhow::bail!("a broken file"));
        assert!(running.collector.is_some() && !running.status.up);
        assert_eq!(running.status.errors, 2);
    }
}
