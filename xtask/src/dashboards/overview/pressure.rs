//! Time lost for want of a CPU, memory or I/O.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql},
};

/// The row.
pub(super) fn row() -> Row {
    let waiting = |what: &str| {
        let counter = format!("container_pressure_{what}_waiting_seconds_total{{CONTAINERS}}");
        promql(&format!("sum EACH (rate({counter}[$__rate_interval]))"))
    };
    let lines = |title, what, description| {
        Panel::lines(title, "percentunit", description).size(8, 8).up_to(1.0).query(CONTAINER, &waiting(what))
    };
    Row {
        title: "Pressure",
        panels: vec![
            lines(
                "Waiting for a CPU",
                "cpu",
                "Share of the time for which at least one task of the container waited for a CPU, be it for others' sake \
                 or for its own quota.",
            ),
            lines(
                "Waiting for memory",
                "memory",
                "Share of the time for which at least one task waited for memory to be reclaimed or swapped in. Should \
                 be next to nothing.",
            ),
            lines(
                "Waiting for I/O",
                "io",
                "Share of the time for which at least one task waited for a block device.",
            ),
        ],
    }
}
