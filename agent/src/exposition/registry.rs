//! What is counted as it happens rather than read at a tick: the process and its HTTP server. Kept in a
//! registry of the `prometheus` crate and appended to the families of the snapshot.

use std::{io::Write, time::Duration};

use anyhow::Context as _;
use prometheus::{
    Counter, Encoder as _, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder,
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{self, MetricFamily},
};

/// The counters of the HTTP server, and the registry that they and the process' are in.
pub struct Registry {
    registry: prometheus::Registry,
    /// Open connections.
    pub connections: IntGauge,
    /// Connections that were served.
    pub accepted: IntCounter,
    /// Connections that could only ask for health because there were too many.
    pub probes_only: IntCounter,
    /// Idle connections that were closed for new ones.
    pub evicted_idle: IntCounter,
    /// Connections of slow clients that were closed for new ones.
    pub evicted_slow: IntCounter,
    /// Connections that were closed because unread responses took too much memory.
    pub evicted_unread: IntCounter,
    /// Connections cut because a request did not come.
    pub request_timeouts: IntCounter,
    /// Connections cut because an answer was not read.
    pub response_timeouts: IntCounter,
    /// Texts made of a snapshot.
    pub encodes: IntCounter,
    /// Time that took, seconds.
    pub encode_seconds: Counter,
}

impl Registry {
    /// A registry with every counter at 0.
    ///
    /// # Errors
    /// Two counters of one name, which would be a mistake in this file.
    pub fn new() -> anyhow::Result<Self> {
        let registry = prometheus::Registry::new();
        let connections =
            IntGauge::new("glassbox_server_open_connections", "Open HTTP connections to the agent.")?;
        let outcomes = IntCounterVec::new(
            Opts::new(
                "glassbox_server_connections_total",
                "HTTP connections to the agent: accepted, or accepted for health checks only because too many were \
                 open.",
            ),
            &["outcome"],
        )?;
        let evictions = IntCounterVec::new(
            Opts::new(
                "glassbox_server_evictions_total",
                "HTTP connections to the agent that were closed because too many were open (the longest idle, \
                 else the slowest client), or because unread responses took too much memory.",
            ),
            &["reason"],
        )?;
        let timeouts = IntCounterVec::new(
            Opts::new(
                "glassbox_server_timeouts_total",
                "HTTP connections to the agent that were cut because no request came, or because the \
                 response was not read in time.",
            ),
            &["phase"],
        )?;
        let encodes = IntCounter::new(
            "glassbox_server_encodes_total",
            "Responses encoded from a snapshot: at most one per tick, path and encoding, however many clients ask.",
        )?;
        let encode_seconds = Counter::new(
            "glassbox_server_encode_seconds_total",
            "Time spent encoding responses, in seconds.",
        )?;
        let collectors: [Box<dyn Collector>; 7] = [
            Box::new(Process(ProcessCollector::for_self())),
            Box::new(connections.clone()),
            Box::new(outcomes.clone()),
            Box::new(evictions.clone()),
            Box::new(timeouts.clone()),
            Box::new(encodes.clone()),
            Box::new(encode_seconds.clone()),
        ];
        for collector in collectors {
            registry.register(collector)?;
        }
        Ok(Self {
            registry,
            connections,
            accepted: outcomes.with_label_values(&["accepted"]),
            probes_only: outcomes.with_label_values(&["probes_only"]),
            evicted_idle: evictions.with_label_values(&["idle"]),
            evicted_slow: evictions.with_label_values(&["slow"]),
            evicted_unread: evictions.with_label_values(&["unread"]),
            request_timeouts: timeouts.with_label_values(&["request"]),
            response_timeouts: timeouts.with_label_values(&["response"]),
            encodes,
            encode_seconds,
        })
    }

    /// The families as they stand.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Writes the families as text.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, mut out: impl Write) -> anyhow::Result<()> {
        TextEncoder::new().encode(&self.gather(), &mut out).context("write the process' metrics")
    }
}

/// The `prometheus` crate's process metrics, but for CPU time: that counts whole seconds, and the agent takes
/// minutes to use one.
struct Process(ProcessCollector);

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let cpu = families.iter_mut().find(|family| family.name() == "process_cpu_seconds_total");
        if let Some(metric) = cpu.and_then(|family| family.mut_metric().first_mut()) {
            let mut counter = proto::Counter::default();
            counter.set_value(cpu_time().as_secs_f64());
            metric.set_counter(counter);
        }
        families
    }
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that lives through the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_finer_than_a_second() {
        let registry = Registry::new().unwrap();
        let read = || {
            let families = registry.gather();
            let cpu = families.iter().find(|family| family.name() == "process_cpu_seconds_total").unwrap();
            cpu.get_metric()[0].get_counter().get_value()
        };
        let before = read();
        let mut spent = 0u64;
        while cpu_time().as_secs_f64() < before + 0.01 {
            spent = std::hint::black_box(spent + 1);
        }
        let used = read() - before;
        assert!((0.01..1.0).contains(&used), "{used}");
    }
}
