//! What the agent reports about a container while the program plays.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use glassbox_fixtures::exposition::{Sample, families};
use glassbox_tests::agent::Agent;

use super::TICK_MS;

/// Prefix of all metrics that are compared.
const PREFIX: &str = "glassbox_facefusion_";

/// The values of one scrape.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrape {
    /// When it was made, in ns of `CLOCK_MONOTONIC`.
    pub(super) at_ns: u64,
    samples: Vec<Sample>,
}

impl Scrape {
    /// What the agent reports now for a container.
    pub(super) fn of(agent: &Agent, container: &str) -> Self {
        let at_ns = now_ns();
        let all = families(&agent.metrics()).into_iter().flat_map(|family| family.samples);
        let all: Vec<Sample> = all.filter(|sample| sample.name.starts_with(PREFIX)).collect();
        let name = |sample: &Sample| sample.labels.get("container").cloned().unwrap_or_default();
        // The name of a container without a runtime is the beginning of its ID.
        let own = all.iter().map(name).filter(|name| container.starts_with(name)).max_by_key(String::len);
        let samples = all.into_iter().filter(|sample| own.as_ref() == Some(&name(sample))).collect();
        Self { at_ns, samples }
    }

    /// The sum of the samples of a metric that have these labels. `None` if there are none. `metric` is without the prefix.
    pub(super) fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values: Vec<f64> = self.of_metric(metric, labels).map(|sample| sample.value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Like [`sum`](Self::sum), for a metric whose absence means that nothing has been counted.
    pub(super) fn count(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        self.sum(metric, labels).unwrap_or_default()
    }

    /// The values of a metric by one of its labels. Zeros are left out.
    pub(super) fn by_label(&self, metric: &str, label: &str) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for sample in self.of_metric(metric, &[]).filter(|sample| sample.value != 0.0) {
            let value = sample.labels.get(label).cloned().unwrap_or_default();
            *values.entry(value).or_default() += sample.value;
        }
        values
    }

    fn of_metric(&self, metric: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        let name = format!("{PREFIX}{metric}");
        self.samples.iter().filter(move |sample| {
            let has =
                |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|known| known == value);
            sample.name == name && labels.iter().all(has)
        })
    }
}

/// Scrapes once per tick until `is_over`.
pub(super) fn scrapes(agent: &Agent, container: &str, is_over: &AtomicBool) -> Vec<Scrape> {
    let mut scrapes = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        scrapes.push(Scrape::of(agent, container));
        std::thread::sleep(Duration::from_millis(TICK_MS));
    }
    scrapes
}

fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or_default()
}
