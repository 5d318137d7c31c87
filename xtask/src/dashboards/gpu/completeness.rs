//! Whether the other rows miss data.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql},
};

pub(super) fn row() -> Row {
    Row {
        title: "Data completeness", collectors: "nvml, nvidia_driver",
        panels: vec![
            Panel::up_down(
                "NVML status",
                "up",
                "down",
                "NVML is down if the library could not be loaded or hangs. The agent's log has the reason.",
            )
            .size(6, 7)
            .query("{{instance}}", &promql("min by (instance) (glassbox_nvml_up{AGENTS})")),
            Panel::lines(
                "NVML data age",
                "s",
                "Age of the last data from NVML. It grows while NVML hangs. After 3 s and three ticks the values are \
                 omitted.",
            )
            .size(6, 7)
            .query("{{instance}}", &promql("max by (instance) (glassbox_nvml_reading_age_seconds{AGENTS})")),
            Panel::lines(
                "Undecoded ioctls",
                "cps",
                "Ioctls that are timed but not decoded. Reason layout: the driver release is not supported.",
            )
            .size(6, 7)
            .query(
                &format!("{CONTAINER} {{{{reason}}}}"),
                &promql(
                    "sum by (instance, namespace, pod, container, reason) \
                     (rate(glassbox_container_nvidia_undecoded_ioctls_total{CONTAINERS}[$__rate_interval]))",
                ),
            ),
            Panel::lines(
                "Lost events",
                "short",
                "Events that the agent could not process. Should be 0. Otherwise the other panels miss data.",
            )
            .size(6, 7)
            .events()
            .query(
                "{{source}}",
                &promql("sum by (source) (increase(glassbox_lost_events_total{AGENTS}[$__rate_interval]))"),
            ),
        ],
    }
}
