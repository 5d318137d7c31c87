//! CPU, memory and time that the agent takes.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::promql,
};

pub(super) fn row() -> Row {
    let lines = |title, unit, description, legend: &str, query: &str| {
        Panel::lines(title, unit, description).size(8, 7).query(legend, &promql(query))
    };
    Row {
        title: "Cost of the agent", collectors: "",
        panels: vec![
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
                "Time to encode responses",
                "percentunit",
                "CPU time spent on responses to scrapes, as a share of one core.",
                "{{instance}}",
                "sum by (instance) (rate(glassbox_server_encode_seconds_total{AGENTS}[$__rate_interval]))",
            ),
            lines(
                "Collector duration",
                "s",
                "Duration of each collector's last run over all containers.",
                "{{collector}}",
                "max by (collector) (glassbox_collector_duration_seconds{AGENTS})",
            ),
        ],
    }
}
