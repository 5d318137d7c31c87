//! Network traffic of containers: of their interfaces, or of their sockets if they use the host network.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, rate},
};

pub(super) fn row() -> Row {
    let of_interfaces = |name: &str| rate(&format!("container_network_{name}_total"));
    // A container has either interfaces or the host network, never both.
    let all = |direction: &str| {
        let in_host = rate(&format!("glassbox_container_host_network_{direction}_bytes_total"));
        format!("{} or {in_host}", of_interfaces(&format!("{direction}_bytes")))
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
            .query("{{container}} {{pod}} received", &of_interfaces("receive_packets_dropped"))
            .query("{{container}} {{pod}} sent", &of_interfaces("transmit_packets_dropped")),
        ],
    }
}
