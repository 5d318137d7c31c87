//! Metrics of the agent's process and HTTP server. They are not part of a snapshot: a registry of the `prometheus`
//! crate counts them as events happen, and the server appends them to the families of the snapshot.

use std::{io::Write, time::Duration};

use anyhow::Context as _;
use prometheus::{
    Counter, Encoder as _, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder,
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{self, MetricFamily},
};

/// The counters of the HTTP server, and the registry that also has the metrics of the process.
pub struct Registry {
    registry: prometheus::Registry,
    /// Open connections.
    pub connections: IntGauge,
    /// Accepted connections.
    pub accepted: IntCounter,
    /// Connections accepted for health checks only, because too many were open.
    pub probes_only: IntCounter,
    /// Idle connections closed to make room for new ones.
    pub evicted_idle: IntCounter,
    /// Connections of slow clients closed to make room for new ones.
    pub evicted_slow: IntCounter,
    /// Connections closed because unread responses used too much memory.
    pub evicted_unread: IntCounter,
    /// Connections closed because no request arrived in time.
    pub request_timeouts: IntCounter,
    /// Connections closed because the response was not read in time.
    pub response_timeouts: IntCounter,
    /// Responses encoded from a snapshot.
    pub encodes: IntCounter,
    /// Time spent encoding them, in seconds.
    pub encode_seconds: Counter,
}

impl Registry {
    /// A registry with every counter at 0.
    ///
    /// # Errors
    /// Fails if two counters have the same name, which is a bug in this file.
    pub fn new() -> anyhow::Result<Self> {
        let registry = prometheus::Registry::new();
        let connections =
            IntGauge::new("glassbox_server_open_connections", "Open HTTP connections to the agent.")?;
        let outcomes = IntCounterVec::new(
            Opts::new(
                "glassbox_server_connections_total",
                "HTTP connections to the agent, by outcome: accepted, or accepted for health checks only (probes_only) \
                 because too many were open.",
            ),
            &["outcome"],
        )?;
        let evictions = IntCounterVec::new(
            Opts::new(
                "glassbox_server_evictions_total",
                "HTTP connections to the agent that were closed because too many were open (the longest idle one, \
                 otherwise that of the slowest client), or because unread responses used too much memory.",
            ),
            &["reason"],
        )?;
        let timeouts = IntCounterVec::new(
            Opts::new(
                "glassbox_server_timeouts_total",
                "HTTP connections to the agent that were closed because no request arrived, or because the \
                 response was not read in time.",
            ),
            &["phase"],
        )?;
        let encodes = IntCounter::new(
            "glassbox_server_encodes_total",
            "Responses encoded from a snapshot: at most one per tick, path and content encoding, for any number of clients.",
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

    /// The families with their current values.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Writes the families as text.
    ///
    /// # Errors
    /// Fails if the writer fails.
    pub fn write(&self, mut out: impl Write) -> anyhow::Result<()> {
        TextEncoder::new().encode(&self.gather(), &mut out).context("write the metrics of the process")
    }
}

/// The process metrics of the `prometheus` crate with a finer CPU time: the crate counts whole seconds, and the agent
/// needs minutes to use one.
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

/// CPU time that this process has used.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that is valid during the call.
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
