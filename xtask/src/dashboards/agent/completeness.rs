//! Whether the other dashboards miss data.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::promql,
};

pub(super) fn row() -> Row {
    let lines = |title, unit, description, legend: &str, query: &str| {
        Panel::lines(title, unit, description).size(8, 7).query(legend, &promql(query))
    };
    Row {
        title: "Data completeness",
        collectors: "",
        panels: vec![
            Panel::up_down(
                "Collector status",
                "up",
                "down",
                "A collector is down if it failed to start or fails at each tick. The agent's log has the reason.",
            )
            .size(16, 4)
            .query("{{collector}}", &promql("min by (collector) (glassbox_collector_up{AGENTS})")),
            Panel::up_down(
                "Container runtimes",
                "connected",
                "unreachable",
                "Names of new containers may be missing while a runtime is unreachable.",
            )
            .size(8, 4)
            .query("{{runtime}}", &promql("min by (runtime) (glassbox_runtime_connected{AGENTS})")),
            lines(
                "Lost events",
                "short",
                "Events that the agent could not process. Should be 0. Otherwise the other panels miss data.",
                "{{source}}",
                "sum by (source) (increase(glassbox_lost_events_total{AGENTS}[$__rate_interval]))",
            )
            .events(),
            lines(
                "Kernel map usage",
                "percentunit",
                "Used entries / capacity of each map. If a map is full, new containers get no kernel counters.",
                "{{map}}",
                "max by (map) (glassbox_map_entries{AGENTS} / glassbox_map_capacity_entries{AGENTS})",
            )
            .up_to(1.0)
            .limits(NEARLY_FULL),
            lines(
                "Skipped ticks",
                "short",
                "Ticks that were skipped because the one before took too long. Increase tick_ms if this lasts.",
                "{{instance}}",
                "sum by (instance) (increase(glassbox_ticks_skipped_total{AGENTS}[$__rate_interval]))",
            )
            .events(),
        ],
    }
}
