//! One table row per host.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::promql,
};

pub(super) fn row() -> Row {
    let number = |title, description, query: &str| {
        Panel::number(title, "none", description).size(6, 4).query("", &promql(query))
    };
    let per_host = |query: &str| promql(&query.replace("HOST", "by (instance)"));
    Row {
        title: "Hosts",
        collectors: "cgroup, machine",
        panels: vec![
            number("Hosts", "Hosts with an agent that answers scrapes.", "count(glassbox_build_info{AGENTS})"),
            number("Running containers", "Containers that run, on all hosts.", "sum(glassbox_container_running{AGENTS})"),
            number(
                "Stuck containers",
                "Containers whose requests, driver calls or connections make no progress.",
                "sum(max by (instance, namespace, pod, container) (glassbox_container_health{AGENTS, state=\"stuck\"}))",
            )
            .limits(&[(0.5, "red")]),
            number(
                "Collectors down",
                "Collectors that do not work, on all hosts.",
                "sum(glassbox_collector_up{AGENTS} == bool 0)",
            )
            .limits(&[(0.5, "red")]),
            Panel::table("Load of hosts", "Current load of each host: of its containers, not of other processes.")
                .size(24, 9)
                .column("Containers", "none", &per_host("sum HOST (glassbox_container_running{AGENTS})"))
                .column(
                    "CPU usage / CPUs",
                    "percentunit",
                    &per_host(
                        "sum HOST (rate(container_cpu_usage_seconds_total{AGENTS}[$__rate_interval])) \
                         / max HOST (machine_cpu_cores{AGENTS})",
                    ),
                )
                .coloured(NEARLY_FULL)
                .column(
                    "Working set / memory",
                    "percentunit",
                    &per_host(
                        "sum HOST (container_memory_working_set_bytes{AGENTS}) / max HOST (machine_memory_bytes{AGENTS})",
                    ),
                )
                .coloured(NEARLY_FULL)
                .column(
                    "GPU utilization",
                    "percentunit",
                    &per_host("avg HOST (glassbox_gpu_utilization_ratio{AGENTS})"),
                )
                .column(
                    "GPU memory",
                    "percentunit",
                    &per_host(
                        "sum HOST (glassbox_gpu_memory_used_bytes{AGENTS}) / sum HOST (glassbox_gpu_memory_total_bytes{AGENTS})",
                    ),
                )
                .coloured(NEARLY_FULL),
        ],
    }
}
