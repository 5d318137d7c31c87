//! Metrics of the agent's process and HTTP server. They are not part of a snapshot: a registry of the `prometheus`
//! crate counts them as events happen, and the server appends them to the families of the snapshot.

use std::{io::Write, time::Duration};

use anyhow::Context as _;
use prometheus::{
    Counter, Encoder as _, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder,
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
    /// TLS handshakes that took too long.
    pub handshake_timeout: IntCounter,
    /// TLS handshakes in which the client disconnected.
    pub handshake_disconnected: IntCounter,
    /// TLS handshakes without a valid certificate of the client.
    pub handshake_client_certificate: IntCounter,
    /// TLS handshakes that the client aborted.
    pub handshake_rejected: IntCounter,
    /// TLS handshakes in which the client did not send acceptable TLS.
    pub handshake_protocol: IntCounter,
    /// Requests without a user and password.
    pub refused_no_password: IntCounter,
    /// Requests with an unknown user or a wrong password.
    pub refused_wrong_password: IntCounter,
    /// Requests for a host name that is not served.
    pub refused_host: IntCounter,
    /// Requests refused because of too many connections, or too many passwords to check.
    pub refused_load: IntCounter,
    certificate_expiry: IntGaugeVec,
    web_config_reload: IntGaugeVec,
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
        let handshakes = IntCounterVec::new(
            Opts::new(
                "glassbox_server_tls_handshake_failures_total",
                "TLS handshakes with the agent that failed, by reason: timeout, disconnected, client_certificate (none, or \
                 not valid), rejected (the client aborted, for example because it does not trust the agent's certificate) or \
                 protocol (not TLS, or no common version).",
            ),
            &["reason"],
        )?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "glassbox_server_refused_requests_total",
                "HTTP requests that the agent refused, by reason: no_password, wrong_password, host (a host name that is \
                 not served) or load (too many connections or password checks).",
            ),
            &["reason"],
        )?;
        let certificate_expiry = IntGaugeVec::new(
            Opts::new(
                "glassbox_server_certificate_expiry_timestamp_seconds",
                "Time at which the agent's TLS certificate expires, or that of an intermediate CA if it expires earlier, in \
                 seconds since 1970.",
            ),
            &[],
        )?;
        let web_config_reload = IntGaugeVec::new(
            Opts::new(
                "glassbox_server_web_config_last_reload_successful",
                "1 if the web configuration and its files are in force as they are on disk, 0 if they could not be used \
                 after a change.",
            ),
            &[],
        )?;
        let encodes = IntCounter::new(
            "glassbox_server_encodes_total",
            "Responses encoded from a snapshot: at most one per tick, path and content encoding, for any number of clients.",
        )?;
        let encode_seconds = Counter::new(
            "glassbox_server_encode_seconds_total",
            "Time spent encoding responses, in seconds.",
        )?;
        let collectors: [Box<dyn Collector>; 11] = [
            Box::new(Process(ProcessCollector::for_self())),
            Box::new(connections.clone()),
            Box::new(outcomes.clone()),
            Box::new(evictions.clone()),
            Box::new(timeouts.clone()),
            Box::new(handshakes.clone()),
            Box::new(refusals.clone()),
            Box::new(certificate_expiry.clone()),
            Box::new(web_config_reload.clone()),
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
            handshake_timeout: handshakes.with_label_values(&["timeout"]),
            handshake_disconnected: handshakes.with_label_values(&["disconnected"]),
            handshake_client_certificate: handshakes.with_label_values(&["client_certificate"]),
            handshake_rejected: handshakes.with_label_values(&["rejected"]),
            handshake_protocol: handshakes.with_label_values(&["protocol"]),
            refused_no_password: refusals.with_label_values(&["no_password"]),
            refused_wrong_password: refusals.with_label_values(&["wrong_password"]),
            refused_host: refusals.with_label_values(&["host"]),
            refused_load: refusals.with_label_values(&["load"]),
            certificate_expiry,
            web_config_reload,
            encodes,
            encode_seconds,
        })
    }

    /// Sets the time at which the certificate expires, in seconds since 1970. Without TLS, the family is absent.
    pub fn set_certificate_expiry(&self, expires_at_s: Option<i64>) {
        match expires_at_s {
            Some(expires_at_s) => self.certificate_expiry.with_label_values::<&str>(&[]).set(expires_at_s),
            None => self.certificate_expiry.reset(),
        }
    }

    /// Sets whether the last change of the web configuration took effect. Without a web configuration, the family is absent.
    pub fn set_web_config_reload(&self, succeeded: bool) {
        self.web_config_reload.with_label_values::<&str>(&[]).set(i64::from(succeeded));
    }

    /// Every family, also those that are absent without TLS.
    #[must_use]
    pub fn gather_all(&self) -> Vec<MetricFamily> {
        self.set_certificate_expiry(Some(0));
        self.set_web_config_reload(true);
        self.gather()
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
