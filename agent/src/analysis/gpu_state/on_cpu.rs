//! Whether a container that was given GPUs computes on the CPUs: it has an inference library mapped and a model loaded, and
//! has used the CPUs for half a minute as inference does. Uses some 100 bytes per container with GPUs.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{analysis::work, snapshot::ContainerRow};

/// The time over which CPU usage is averaged, and how much of it must have passed.
const WINDOW: Duration = Duration::from_secs(30);
const WINDOW_MIN: Duration = Duration::from_secs(20);
/// Time between two records of the CPU time.
const SAMPLE_PERIOD: Duration = Duration::from_secs(5);
/// More CPU usage than this, in cores, is that of inference. Serving, waiting and reading files use less.
const CORES: f64 = 1.0;
/// The same as a share of the CPU quota.
const QUOTA_SHARE: f64 = 0.5;
/// Anonymous memory that only a model takes. Interpreter and libraries alone have less.
const MODEL_MEMORY_BYTES: u64 = 256 << 20;

/// The CPU time of the last half minute.
#[derive(Debug, Default)]
pub(super) struct CpuWindow(VecDeque<(Instant, u64)>);

impl CpuWindow {
    /// Mean CPU usage over the window, in cores; `None` until it is long enough.
    fn cores(&mut self, now: Instant, cpu_ns: u64) -> Option<f64> {
        let samples = &mut self.0;
        // The counter belongs to one run and only grows.
        if samples.back().is_none_or(|(at, _)| now.duration_since(*at) >= SAMPLE_PERIOD) {
            samples.push_back((now, cpu_ns));
        }
        // One older than the window remains, so that the window is always covered.
        while samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            samples.pop_front();
        }
        let (at, before_ns) = samples.front()?;
        let passed = now.duration_since(*at);
        let used_ns = cpu_ns.checked_sub(*before_ns)?;
        (passed >= WINDOW_MIN).then(|| used_ns as f64 / 1e9 / passed.as_secs_f64())
    }
}

/// Whether a container computes on the CPUs with a model, although it was given GPUs. Unknown counts as no.
pub(super) fn computes(row: &ContainerRow, window: &mut CpuWindow, now: Instant) -> bool {
    let Some(inference) = row.inference.filter(|inference| inference.gpus_given > 0) else {
        *window = CpuWindow::default();
        return false;
    };
    let cores = work::cpu_ns(row).and_then(|cpu_ns| window.cores(now, cpu_ns));
    let memory = row.cgroup.memory.rss_bytes;
    let has_model = inference.has_model_file || memory.is_some_and(|bytes| bytes >= MODEL_MEMORY_BYTES);
    let limits = &row.cgroup.limits;
    let quota = limits.cpu_quota_us.zip(limits.cpu_period_us.filter(|period_us| *period_us > 0));
    let threshold = quota
        .map_or(CORES, |(quota_us, period_us)| CORES.min(quota_us as f64 / period_us as f64 * QUOTA_SHARE));
    !inference.libraries.is_empty() && has_model && cores.is_some_and(|cores| cores > threshold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{
        identity::Identity,
        inference::{Inference, Library},
    };

    /// Whether it computes after this time with this CPU usage, in cores.
    fn after(seconds: u64, cores: f64, change: impl FnOnce(&mut ContainerRow)) -> bool {
        let mut row =
            ContainerRow::new(std::sync::Arc::new(Identity::default()), std::time::SystemTime::UNIX_EPOCH);
        row.inference = Some(Inference {
            gpus_given: 1,
            libraries: [Library::OnnxRuntime].into_iter().collect(),
            has_model_file: true,
            load: None,
        });
        change(&mut row);
        let (mut window, begun, mut result) = (CpuWindow::default(), Instant::now(), false);
        for second in 0..=seconds {
            row.cgroup.cpu.usage_ns = Some(7_000_000_000 + (second as f64 * cores * 1e9) as u64);
            result = computes(&row, &mut window, begun + Duration::from_secs(second));
        }
        result
    }

    fn with(change: fn(&mut Inference)) -> impl FnOnce(&mut ContainerRow) {
        move |row| row.inference.iter_mut().for_each(change)
    }

    #[test]
    fn it_computes_with_more_than_one_core_for_some_time() {
        assert!(after(20, 1.1, |_| ()));
        assert!(!after(19, 8.0, |_| ()), "too short");
        assert!(!after(90, 1.0, |_| ()), "one thread");
        assert!(after(90, 1.1, |_| ()));
    }

    #[test]
    fn with_a_quota_half_of_it_is_enough() {
        let quota = |cores: u64| {
            move |row: &mut ContainerRow| {
                let limits = &mut row.cgroup.limits;
                (limits.cpu_quota_us, limits.cpu_period_us) = (Some(cores * 100_000), Some(100_000));
            }
        };
        assert!(after(30, 0.6, quota(1)));
        assert!(!after(30, 0.5, quota(1)));
        assert!(after(30, 1.1, quota(64)), "more than one core is enough, whatever the quota");
        assert!(!after(30, 0.9, |row| row.cgroup.limits.cpu_quota_us = Some(1)), "a quota without a period");
    }

    #[test]
    fn it_needs_gpus_a_library_and_a_model() {
        assert!(!after(30, 4.0, |row| row.inference = None));
        assert!(!after(30, 4.0, with(|inference| inference.gpus_given = 0)));
        assert!(!after(30, 4.0, with(|inference| inference.libraries = [].into_iter().collect())));
        let memory = |bytes| {
            move |row: &mut ContainerRow| {
                row.cgroup.memory.rss_bytes = Some(bytes);
                row.inference.iter_mut().for_each(|inference| inference.has_model_file = false);
            }
        };
        assert!(!after(30, 4.0, memory(MODEL_MEMORY_BYTES - 1)));
        assert!(after(30, 4.0, memory(MODEL_MEMORY_BYTES)));
    }

    #[test]
    fn what_was_used_before_the_window_does_not_count_and_the_history_is_bounded() {
        let (mut window, begun) = (CpuWindow::default(), Instant::now());
        let mut cores = None;
        for second in 0..200 {
            let used = second.min(100) * 4_000_000_000;
            cores = window.cores(begun + Duration::from_secs(second), used);
            assert!(window.0.len() <= 8);
        }
        assert_eq!(cores, Some(0.0));
        assert_eq!(window.cores(begun + Duration::from_secs(200), 0), None, "the counter decreased");
    }
}
