//! The agent itself: what works, what it costs, what it lost.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::promql,
};

/// The row.
pub(super) fn row() -> Row {
    let lines = |title, unit, description, legend: &str, query: &str| {
        Panel::lines(title, unit, description).size(8, 7).query(legend, &promql(query))
    };
    Row {
        title: "The agent",
        panels: vec![
            Panel::up_down(
                "Collectors",
                "up",
                "down",
                "Down: the collector could not start, or fails. The agent's log has the reason.",
            )
            .size(24, 3)
            .query("{{collector}}", &promql("min by (collector) (glassbox_collector_up{AGENTS})")),
            lines(
                "CPU",
                "percentunit",
                "Of one core, kernel programs not included.",
                "{{instance}}",
                "sum by (instance) (rate(process_cpu_seconds_total{AGENTS}[$__rate_interval]))",
            ),
            lines(
                "Memory",
                "bytes",
                "Of the process, and of its maps in the kernel.",
                "{{instance}} process",
                "sum by (instance) (process_resident_memory_bytes{AGENTS})",
            )
            .query(
                "{{instance}} kernel maps",
                &promql("sum by (instance) (glassbox_map_memory_bytes{AGENTS})"),
            ),
            lines(
                "Tick",
                "s",
                "How long the last reading of everything took.",
                "{{instance}}",
                "max by (instance) (glassbox_tick_duration_seconds{AGENTS})",
            ),
            lines(
                "Mean run of a kernel program",
                "s",
                "The kernel measures it for one second in thirty, as measuring costs more than most \
                 programs; that cost is included here.",
                "{{program}}",
                "sum by (program) (rate(glassbox_probe_run_seconds_total{AGENTS}[$__rate_interval])) \
                 / (sum by (program) (rate(glassbox_probe_runs_total{AGENTS}[$__rate_interval])) > 0)",
            )
            .over_gaps(),
            lines(
                "Lost events",
                "short",
                "Facts that could not be kept. Should be 0: else something is missing from the other panels.",
                "{{source}}",
                "sum by (source) (increase(glassbox_lost_events_total{AGENTS}[$__rate_interval]))",
            ),
            lines(
                "Kernel maps in use",
                "percentunit",
                "A full map means that further containers get no kernel counters of their own.",
                "{{map}}",
                "max by (map) (glassbox_map_entries{AGENTS} / glassbox_map_capacity_entries{AGENTS})",
            )
            .up_to(1.0)
            .limits(NEARLY_FULL),
        ],
    }
}
