//! Traffic of the containers' own interfaces.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql},
};

/// The row.
pub(super) fn row() -> Row {
    let rate = |name: &str| {
        promql(&format!("sum EACH (rate(container_network_{name}_total{{CONTAINERS}}[$__rate_interval]))"))
    };
    Row {
        title: "Network",
        panels: vec![
            Panel::lines(
                "Received",
                "Bps",
                "Bytes per second, headers included. Containers in the host's network have no counters of \
                 their own.",
            )
            .size(8, 8)
            .query(CONTAINER, &rate("receive_bytes")),
            Panel::lines("Sent", "Bps", "Bytes per second, headers included.")
                .size(8, 8)
                .query(CONTAINER, &rate("transmit_bytes")),
            Panel::lines(
                "Packets dropped",
                "pps",
                "Packets that the container's interfaces dropped. Should be 0.",
            )
            .size(8, 8)
            .query("{{container}} {{pod}} receiving", &rate("receive_packets_dropped"))
            .query("{{container}} {{pod}} sending", &rate("transmit_packets_dropped")),
        ],
    }
}
