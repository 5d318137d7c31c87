//! One collector as the tick runs it: it is timed, its errors are counted and logged once, and a panic turns it off.

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

/// A collector and its status.
pub(super) struct Running {
    pub(super) status: CollectorStatus,
    /// `None` if the collector could not start or has panicked.
    collector: Option<Box<dyn Collector>>,
    last_error: String,
    /// What the collector cannot do on this host; it is then reported as down.
    limitation: Option<String>,
}

impl Running {
    /// Wraps a collector that has started. If it could not start, the reason is logged.
    pub(super) fn new(spec: &Spec, outcome: anyhow::Result<Box<dyn Collector>>) -> Self {
        let collector = outcome
            .inspect_err(|error| {
                // The reason was logged when the kernel programs failed to load.
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

    /// Calls the collector if it runs. A collector that panics is turned off.
    pub(super) fn with<R>(&mut self, call: impl FnOnce(&mut dyn Collector) -> R) -> Option<R> {
        let collector = self.collector.as_mut()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| call(collector.as_mut())));
        if outcome.is_err() {
            tracing::error!(
                "collector {} panicked and is turned off until the agent restarts",
                self.status.name
            );
            self.collector = None;
            self.status.up = false;
        }
        outcome.ok()
    }

    /// When the collector has to be called before the next tick.
    pub(super) fn timer_at(&mut self) -> Option<Instant> {
        self.with(|collector| collector.timer_at()).flatten()
    }

    /// Runs the collector for all live containers.
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

    /// Reports a collector with a limitation as down, and logs each limitation once.
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

    /// Logs an error unless it is the one logged last, because a broken file would otherwise fill the log.
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
            metadata::MetadataStore,
            tracker::{Container, Discovery},
        },
        snapshot::{ContainerRow, identity::Runtime},
    };

    struct Failing(fn() -> anyhow::Result<()>);

    impl Collector for Failing {
        fn collect(&mut self, _: &Container, _: &mut ContainerRow) -> anyhow::Result<()> {
            (self.0)()
        }
    }

    fn run_twice(collect: fn() -> anyhow::Result<()>) -> Running {
        let mut tracker = Tracker::new(MetadataStore::new(), Vec::new(), Duration::ZERO, 1);
        let now = SystemTime::now();
        let discovery = Discovery {
            id: &"a".repeat(64),
            runtime: Runtime::Docker,
            cgroup_path: "/docker/a",
            cgroup_id: 1,
            slot: None,
            made_at: None,
        };
        tracker.add(&discovery, Moment::now());
        let status = CollectorStatus { name: "failing", up: true, duration: Duration::ZERO, errors: 0 };
        let mut running = Running {
            status,
            collector: Some(Box::new(Failing(collect))),
            last_error: String::new(),
            limitation: None,
        };
        running.collect_all(&mut tracker, None, &mut Host::default(), now);
        running.collect_all(&mut tracker, None, &mut Host::default(), now);
        running
    }

    #[test]
    fn a_collector_that_panics_is_turned_off() {
        let running = run_twice(|| panic!("a bug"));
        assert!(running.collector.is_none() && !running.status.up);
    }

    #[test]
    fn a_collector_that_panics_between_ticks_is_turned_off() {
        let mut running = run_twice(|| Ok(()));
        assert!(running.status.up);
        assert_eq!(running.with(|collector| collector.is_readable_after_exit()), Some(false));
        assert_eq!(running.with(|_| -> u8 { panic!("a bug in an event") }), None);
        assert!(running.collector.is_none() && !running.status.up);
        assert_eq!(running.with(|collector| collector.is_readable_after_exit()), None);
    }

    #[test]
    fn a_collector_with_errors_is_down_and_retried() {
        let running = run_twice(|| anyhow::bail!("a broken file"));
        assert!(running.collector.is_some() && !running.status.up);
        assert_eq!(running.status.errors, 2);
    }
}
