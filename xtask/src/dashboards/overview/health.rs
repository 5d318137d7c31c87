//! Whether containers work: one lamp per container, and what is missing from the data.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, growth, promql, rate},
};

/// The states of a lamp. The highest one that applies is shown.
const LAMPS: [(u32, &str, &str); 9] = [
    (1, "healthy", "green"),
    (2, "memory leak", "yellow"),
    (3, "OOM-killed", "orange"),
    (4, "restarting", "orange"),
    (5, "on CPU despite GPU", "purple"),
    (6, "no CPU", "red"),
    (7, "spinning", "red"),
    (8, "stuck", "red"),
    (9, "down", "dark-red"),
];
/// Below this CPU usage in cores, a container with requests in flight has no CPU.
const NO_CPU_CORES: &str = "0.01";

/// The state of each container.
fn lamp() -> String {
    let restarts = growth("glassbox_container_restarts_total{CONTAINERS}", "$__rate_interval");
    let kills = growth("container_oom_events_total{CONTAINERS}", "$__rate_interval");
    let waits = "sum EACH (glassbox_container_http_requests_in_flight{CONTAINERS}) > 0";
    let cpu = rate("container_cpu_usage_seconds_total");
    // From the worst to the best: `or` keeps the first, because all have the same labels. Multiplied by 0, a value is only a sign.
    let gpu = |state: &str| {
        format!("0 * (max EACH (glassbox_container_gpu_state{{CONTAINERS, state=\"{state}\"}}) == 1)")
    };
    let states = [
        "9 + 0 * (max EACH (glassbox_container_running{CONTAINERS}) == 0)".to_owned(),
        "8 + 0 * (sum EACH (glassbox_container_health{CONTAINERS, state=\"stuck\"}) > 0)".to_owned(),
        format!("7 + {}", gpu("spinning")),
        format!("6 + 0 * (({cpu} < {NO_CPU_CORES}) and {waits})"),
        format!("5 + {}", gpu("on_cpu_despite_gpu")),
        format!("4 + 0 * (sum EACH ({restarts}) > 0)"),
        format!("3 + 0 * (sum EACH ({kills}) > 0)"),
        "2 + 0 * (max EACH (glassbox_container_memory_leak_suspected{CONTAINERS}) == 1)".to_owned(),
        "1 + 0 * (max EACH (glassbox_container_running{CONTAINERS}) == 1)".to_owned(),
    ];
    promql(&states.join(" or "))
}

pub(super) fn row() -> Row {
    Row {
        title: "Health",
        collectors: "cgroup, requests, threads, nvml",
        panels: vec![
            Panel::number(
                "Missing data",
                "none",
                "Collectors that are down and kinds of events that were lost. If it is not 0, other panels miss data: see the \
                 dashboard of the agent.",
            )
            .size(4, 6)
            .limits(&[(0.5, "red")])
            .query(
                "",
                &promql(
                    "sum(glassbox_collector_up{AGENTS} == bool 0) \
                     + sum(increase(glassbox_lost_events_total{AGENTS}[$__rate_interval]) > bool 0)",
                ),
            ),
            Panel::lamps(
                "Container health",
                &LAMPS,
                "The worst state of each container: down, stuck, a GPU that looks busy and does nothing, no CPU although requests \
                 wait, a model on the CPUs although there is a GPU, restarted, an OOM kill, or a suspected memory leak. An idle \
                 container is healthy.",
            )
            .size(20, 6)
            .linked_to_logs()
            .query(CONTAINER, &lamp()),
            Panel::states(
                "Container health over time",
                &LAMPS,
                "The same states over time. A gap means that there was no container or no data.",
            )
            .linked_to_logs()
            .query(CONTAINER, &lamp()),
        ],
    }
}
