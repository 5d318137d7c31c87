//! Network traffic of containers: of their interfaces, or of their sockets if they use the host network.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql},
};

pub(super) fn row() -> Row {
    let rate = |name: &str| {
        promql(&format!("sum EACH (rate(container_network_{name}_total{{CONTAINERS}}[$__rate_interval]))"))
    };
    // A container has either interfaces or the host network, never both.
    let all = |direction: &str| {
        let in_host = format!(
            "sum EACH (rate(glassbox_container_host_network_{direction}_bytes_total{{CONTAINERS}}[$__rate_interval]))"
        );
        format!("{} or {}", rate(&format!("{direction}_bytes")), promql(&in_host))
    };
    Row {
        title: "Network", collectors: "network, host_network",
        panels: vec![
            Panel::lines(
                "Bytes received",
                "Bps",
                "Bytes received per second, including headers. For containers in the host network: bytes received \
                 by their sockets, including loopback.",
            )
            .size(8, 8)
            .query(CONTAINER, &all("receive")),
            Panel::lines("Bytes sent", "Bps", "Bytes sent per second, including headers. Same sources as bytes received.")
                .size(8, 8)
                .query(CONTAINER, &all("transmit")),
            Panel::lines(
                "Dropped packets",
                "pps",
                "Packets dropped by the container's interfaces. Should be 0.",
            )
            .size(8, 8)
            .query("{{container}} {{pod}} received", &rate("receive_packets_dropped"))
            .query("{{container}} {{pod}} sent", &rate("transmit_packets_dropped")),
        ],
    }
}
