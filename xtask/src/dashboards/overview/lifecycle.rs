//! What containers are doing, and how they end.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, growth, promql},
};

/// The label's values, each with the number and the colour that stand for it.
const STATES: [(u32, &str, &str); 6] = [
    (1, "running", "green"),
    (2, "created", "blue"),
    (3, "paused", "yellow"),
    (4, "restarting", "orange"),
    (5, "exited", "purple"),
    (6, "dead", "red"),
];

/// The row.
pub(super) fn row() -> Row {
    let of = |(number, state, _): &(u32, &str, &str)| {
        format!("{number} * (glassbox_container_state{{CONTAINERS, state=\"{state}\"}} == 1)")
    };
    let state = format!("max EACH ({})", STATES.iter().map(of).collect::<Vec<_>>().join(" or "));
    let grown = |family: &str| {
        promql(&format!("sum EACH {}", growth(&format!("{family}{{CONTAINERS}}"), "$__rate_interval")))
    };
    Row {
        title: "Life and death",
        panels: vec![
            Panel::states("State", &STATES, "What each container is doing; for some minutes after its end, that it ended.")
                .size(12, 8)
                .query(CONTAINER, &promql(&state)),
            Panel::lines(
                "OOM kills",
                "short",
                "Processes that the kernel killed because the container reached its memory limit, or the host had no \
                 memory left. Counted where it happens: also of a container that was killed whole.",
            )
            .size(6, 8)
            .query(CONTAINER, &grown("container_oom_events_total")),
            Panel::lines("Restarts", "short", "Starts of a container that had run before, by whomever.")
                .size(6, 8)
                .query(CONTAINER, &grown("glassbox_container_restarts_total")),
            Panel::lines(
                "Exit codes",
                "none",
                "Of each container's last run, for some minutes after its end: 0 is well, above 128 it is a signal's \
                 number and 128, and the legend says why.",
            )
            .size(24, 6)
            .query(
                "{{container}} {{pod}} {{reason}}",
                &promql(
                    "glassbox_container_last_exit_code{CONTAINERS} \
                     + on (instance, namespace, pod, container) group_right () \
                     0 * glassbox_container_last_exit_reason{CONTAINERS}",
                ),
            ),
        ],
    }
}
