//! Whether containers work: one lamp per container, and what is missing from the data.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, growth, promql, rate},
};

/// The states of a lamp. The highest one that applies is shown.
const LAMPS: [(u32, &str, &str); 6] = [
    (1, "healthy", "green"),
    (2, "OOM-killed", "orange"),
    (3, "restarting", "orange"),
    (4, "no CPU", "red"),
    (5, "stuck", "red"),
    (6, "down", "dark-red"),
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
    let states = [
        "6 + 0 * (max EACH (glassbox_container_running{CONTAINERS}) == 0)".to_owned(),
        "5 + 0 * (sum EACH (glassbox_container_health{CONTAINERS, state=\"stuck\"}) > 0)".to_owned(),
        format!("4 + 0 * (({cpu} < {NO_CPU_CORES}) and {waits})"),
        format!("3 + 0 * (sum EACH ({restarts}) > 0)"),
        format!("2 + 0 * (sum EACH ({kills}) > 0)"),
        "1 + 0 * (max EACH (glassbox_container_running{CONTAINERS}) == 1)".to_owned(),
    ];
    promql(&states.join(" or "))
}

pub(super) fn row() -> Row {
    Row {
        title: "Health",
        collectors: "cgroup, requests, threads",
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
                "The worst state of each container: down, stuck, no CPU although requests wait, restarted, or with an OOM kill. \
                 An idle container is healthy.",
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
