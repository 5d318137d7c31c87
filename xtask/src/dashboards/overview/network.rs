//! Traffic of containers, to see whether a service waits for its network or disk.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, promql, rate},
};

pub(super) fn row() -> Row {
    let lines = |title, unit, description, query: &str| {
        Panel::lines(title, unit, description).size(8, 8).query(CONTAINER, &promql(query))
    };
    Row {
        title: "Network and disk",
        collectors: "sockets, cgroup",
        panels: vec![
            lines(
                "Bytes received",
                "Bps",
                "Bytes received per second by the container's sockets, including headers and loopback.",
                &rate("glassbox_container_socket_receive_bytes_total"),
            ),
            lines(
                "Bytes sent",
                "Bps",
                "Bytes sent per second by the container's sockets, including headers and loopback.",
                &rate("glassbox_container_socket_transmit_bytes_total"),
            ),
            lines(
                "I/O pressure",
                "percentunit",
                "Share of time in which at least one task waited for a block device.",
                &rate("container_pressure_io_waiting_seconds_total"),
            )
            .up_to(1.0),
        ],
    }
}
