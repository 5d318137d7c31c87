//! Container states, restarts, OOM kills and exit codes.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, growth, promql},
};

/// Values of the label `state`, each with its number and colour in the panel.
const STATES: [(u32, &str, &str); 6] = [
    (1, "running", "green"),
    (2, "created", "blue"),
    (3, "paused", "yellow"),
    (4, "restarting", "orange"),
    (5, "exited", "purple"),
    (6, "dead", "red"),
];

pub(super) fn row() -> Row {
    let of = |(number, state, _): &(u32, &str, &str)| {
        format!("{number} * (glassbox_container_state{{CONTAINERS, state=\"{state}\"}} == 1)")
    };
    let state = format!("max EACH ({})", STATES.iter().map(of).collect::<Vec<_>>().join(" or "));
    let grown = |family: &str| {
        promql(&format!("sum EACH {}", growth(&format!("{family}{{CONTAINERS}}"), "$__rate_interval")))
    };
    Row {
        title: "Container lifecycle", collectors: "cgroup, oom",
        panels: vec![
            Panel::states("Container state", &STATES, "State of each container. A container that has exited is shown for some minutes.")
                .size(12, 8)
                .query(CONTAINER, &promql(&state)),
            Panel::lines(
                "OOM kills",
                "short",
                "Processes killed by the kernel because the container reached its memory limit or the host ran out of \
                 memory. Includes kills that ended the container.",
            )
            .size(6, 8)
            .events()
            .query(CONTAINER, &grown("container_oom_events_total")),
            Panel::lines("Restarts", "short", "Starts of a container that had run before, for any reason.")
                .size(6, 8)
                .events()
                .query(CONTAINER, &grown("glassbox_container_restarts_total")),
            Panel::lines(
                "Exit codes",
                "none",
                "Exit code of the last run, shown for some minutes after the exit: 0 is success, 128 + N is signal N. \
                 The legend has the exit reason.",
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
