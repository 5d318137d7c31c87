//! One collector as the tick runs it: timed, its errors counted and logged once, and left out for good once it panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    collectors::{Collector, Context, Spec},
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

/// The collectors that run.
pub(super) fn active(all: &mut [Running]) -> impl Iterator<Item = &mut Box<dyn Collector>> {
    all.iter_mut().filter_map(|running| running.collector.as_mut())
}

impl Running {
    /// Starts it; where that cannot be, the log says why.
    pub(super) fn start(spec: &Spec, context: &mut Context<'_>) -> Self {
        let collector = (spec.start)(context)
            .inspect_err(|error| tracing::warn!("collector {} is off: {error:#}", spec.name))
            .ok();
        let up = collector.is_some();
        let status = CollectorStatus { name: spec.name, up, duration: Duration::ZERO, errors: 0 };
        let mut running = Self { status, collector, last_error: String::new(), limitation: None };
        running.note_limitation();
        running
    }

    /// One run over all living containers. A collector that panics is left out from then on.
    pub(super) fn collect_all(
        &mut self,
        tracker: &mut Tracker,
        kernel: Option<&mut Kernel>,
        host: &mut Host,
        now: SystemTime,
    ) {
        let Some(collector) = &mut self.collector else { return };
        let begun = Instant::now();
        let (mut succeeded, mut failed) = (0u32, None);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            collector.refresh(kernel);
            for entry in tracker.living() {
                if entry.row.is_running() {
                    entry.row.last_seen = now;
                }
                match collector.collect(&entry.container, &mut entry.row) {
                    Ok(()) => succeeded += 1,
                    Err(error) => {
                        self.status.errors += 1;
                        failed = Some(error.context(format!("container {}", entry.container.identity.id)));
                    }
                }
            }
            collector.collect_host(host);
        }));
        self.status.duration = begun.elapsed();
        self.status.up = succeeded > 0 || failed.is_none();
        self.note_limitation();
        if let Some(error) = failed {
            self.report(&error);
        }
        if outcome.is_err() {
            tracing::error!("collector {} panicked and is off from now on", self.status.name);
            self.collector = None;
            self.status.up = false;
        }
    }

    /// A collector with a limitation counts as down; each is logged once.
    fn note_limitation(&mut self) {
        let limitation = self.collector.as_ref().and_then(|collector| collector.limitation());
        if let Some(reason) = limitation {
            self.status.up = false;
            if self.limitation.as_deref() != Some(reason) {
                tracing::warn!("collector {} is limited: {reason}", self.status.name);
            }
        }
        self.limitation = limitation.map(str::to_owned);
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
    fn a_collector_that_errs_is_down_and_tried_again() {
        let running = run_twice(|| anyhow::bail!("a broken file"));
        assert!(running.collector.is_some() && !running.status.up);
        assert_eq!(running.status.errors, 2);
    }
}
