//! Pressure stall information (PSI).

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, rate},
};

pub(super) fn row() -> Row {
    let waiting = |what: &str| rate(&format!("container_pressure_{what}_waiting_seconds_total"));
    let lines = |title, what, description| {
        Panel::lines(title, "percentunit", description).size(8, 8).up_to(1.0).query(CONTAINER, &waiting(what))
    };
    Row {
        title: "Pressure (PSI)",
        collectors: "cgroup",
        panels: vec![
            lines(
                "CPU pressure",
                "cpu",
                "Share of time in which at least one task of the container waited for a CPU, because of other tasks or \
                 because of its own quota.",
            ),
            lines(
                "Memory pressure",
                "memory",
                "Share of time in which at least one task waited for memory to be reclaimed or swapped in. Should be \
                 near 0.",
            ),
            lines(
                "I/O pressure",
                "io",
                "Share of time in which at least one task waited for a block device.",
            ),
        ],
    }
}
