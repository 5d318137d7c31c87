//! Whether what the other rows show is all there is.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql},
};

/// The row.
pub(super) fn row() -> Row {
    Row {
        title: "Is this all?",
        panels: vec![
            Panel::up_down(
                "NVML",
                "up",
                "down",
                "NVIDIA's management library. Down: it could not be loaded, or hangs; the agent's log has the reason.",
            )
            .size(6, 7)
            .query("{{instance}}", &promql("min by (instance) (glassbox_nvml_up{AGENTS})")),
            Panel::lines(
                "Age of NVML's reading",
                "s",
                "It grows while NVML hangs. After 3 s and three ticks the values are left out.",
            )
            .size(6, 7)
            .query("{{instance}}", &promql("max by (instance) (glassbox_nvml_reading_age_seconds{AGENTS})")),
            Panel::lines(
                "Calls not understood",
                "cps",
                "Their time is counted, not what they meant: layout is a driver release that is not known.",
            )
            .size(6, 7)
            .query(
                &format!("{CONTAINER} {{{{reason}}}}"),
                &promql(
                    "sum by (instance, namespace, pod, container, reason) \
                     (rate(glassbox_nvidia_undecoded_total{CONTAINERS}[$__rate_interval]))",
                ),
            ),
            Panel::lines(
                "Lost events",
                "short",
                "Facts that could not be kept. Should be 0: else something is missing from the other panels.",
            )
            .size(6, 7)
            .query(
                "{{source}}",
                &promql("sum by (source) (increase(glassbox_lost_events_total{AGENTS}[$__rate_interval]))"),
            ),
        ],
    }
}
