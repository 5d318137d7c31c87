//! The agent itself: status, cost and lost events.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::promql,
};

pub(super) fn row() -> Row {
    let lines = |title, unit, description, legend: &str, query: &str| {
        Panel::lines(title, unit, description).size(8, 7).query(legend, &promql(query))
    };
    Row {
        title: "Agent",
        panels: vec![
            Panel::up_down(
                "Collector status",
                "up",
                "down",
                "A collector is down if it failed to start or fails at each tick. The agent's log has the reason.",
            )
            .size(24, 3)
            .query("{{collector}}", &promql("min by (collector) (glassbox_collector_up{AGENTS})")),
            lines(
                "Agent CPU usage",
                "percentunit",
                "CPU usage of the agent process, as a share of one core. Kernel programs are not included.",
                "{{instance}}",
                "sum by (instance) (rate(process_cpu_seconds_total{AGENTS}[$__rate_interval]))",
            ),
            lines(
                "Agent memory usage",
                "bytes",
                "Resident memory of the agent process, and memory of its kernel maps.",
                "{{instance}} process",
                "sum by (instance) (process_resident_memory_bytes{AGENTS})",
            )
            .query(
                "{{instance}} kernel maps",
                &promql("sum by (instance) (glassbox_map_memory_bytes{AGENTS})"),
            ),
            lines(
                "Tick duration",
                "s",
                "Duration of the last tick, in which all collectors read their sources.",
                "{{instance}}",
                "max by (instance) (glassbox_tick_duration_seconds{AGENTS})",
            ),
            lines(
                "Mean run time of kernel programs",
                "s",
                "Mean run time per call. The kernel measures it for one second in thirty because the measurement \
                 costs more than most programs; its cost is included.",
                "{{program}}",
                "sum by (program) (rate(glassbox_probe_run_seconds_total{AGENTS}[$__rate_interval])) \
                 / (sum by (program) (rate(glassbox_probe_runs_total{AGENTS}[$__rate_interval])) > 0)",
            )
            .over_gaps(),
            lines(
                "Lost events",
                "short",
                "Events that the agent could not process. Should be 0. Otherwise the other panels miss data.",
                "{{source}}",
                "sum by (source) (increase(glassbox_lost_events_total{AGENTS}[$__rate_interval]))",
            ),
            lines(
                "Kernel map usage",
                "percentunit",
                "Used entries / capacity of each map. If a map is full, new containers get no kernel counters.",
                "{{map}}",
                "max by (map) (glassbox_map_entries{AGENTS} / glassbox_map_capacity_entries{AGENTS})",
            )
            .up_to(1.0)
            .limits(NEARLY_FULL),
        ],
    }
}
