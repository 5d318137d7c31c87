//! Traffic of the containers' own interfaces, and of their sockets in the host's network.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql},
};

/// The row.
pub(super) fn row() -> Row {
    let rate = |name: &str| {
        promql(&format!("sum EACH (rate(container_network_{name}_total{{CONTAINERS}}[$__rate_interval]))"))
    };
    // A container has interfaces of its own or is in the host's network, never both.
    let all = |direction: &str| {
        let in_host = format!(
            "sum EACH (rate(glassbox_container_host_network_{direction}_bytes_total{{CONTAINERS}}[$__rate_interval]))"
        );
        format!("{} or {}", rate(&format!("{direction}_bytes")), promql(&in_host))
    };
    Row {
        title: "Network",
        panels: vec![
            Panel::lines(
                "Received",
                "Bps",
                "Bytes per second, headers included. Of containers in the host's network, what their sockets \
                 receive, loopback included.",
            )
            .size(8, 8)
            .query(CONTAINER, &all("receive")),
            Panel::lines("Sent", "Bps", "Bytes per second, headers included; else as beside.")
                .size(8, 8)
                .query(CONTAINER, &all("transmit")),
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
