//! Traffic and TCP connections of containers' sockets, on any network.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, Histogram, LABELS, promql, quantile},
};

pub(super) fn row() -> Row {
    let rate = |name: &str, by: &str| {
        promql(&format!(
            "sum by (instance, namespace, pod, container{by}) \
             (rate(glassbox_container_socket_{name}_total{{CONTAINERS}}[$__rate_interval]))"
        ))
    };
    let gauge = |name: &str| promql(&format!("sum EACH (glassbox_container_socket_{name}{{CONTAINERS}})"));
    let by_protocol = "{{container}} {{pod}} {{protocol}}";
    Row {
        title: "Sockets", collectors: "sockets",
        panels: vec![
            Panel::lines(
                "Bytes received by sockets",
                "Bps",
                "IP bytes received per second by the container's sockets, including headers and loopback.",
            )
            .size(8, 8)
            .query(by_protocol, &rate("receive_bytes", ", protocol")),
            Panel::lines(
                "Bytes sent by sockets",
                "Bps",
                "IP bytes sent per second by the container's sockets, including headers and loopback.",
            )
            .size(8, 8)
            .query(by_protocol, &rate("transmit_bytes", ", protocol")),
            Panel::lines("Open TCP connections", "short", "Number of open TCP connections.")
                .size(8, 8)
                .query(CONTAINER, &gauge("connections")),
            Panel::lines(
                "TCP connection rate",
                "cps",
                "TCP connections accepted, opened and failed per second.",
            )
            .size(8, 8)
            .query("{{container}} {{pod}} accepted", &rate("connections_accepted", ""))
            .query("{{container}} {{pod}} opened", &rate("connections_opened", ""))
            .query("{{container}} {{pod}} failed", &rate("connections_failed", "")),
            Panel::lines(
                "P99 round-trip time",
                "s",
                "99 % of the samples of the smoothed round-trip time of TCP connections are shorter.",
            )
            .logarithmic()
            .size(8, 8)
            .query(
                CONTAINER,
                &quantile("0.99", &Histogram("glassbox_container_socket_round_trip_seconds", "CONTAINERS"), LABELS),
            ),
            Panel::lines(
                "TCP and UDP problems",
                "cps",
                "TCP segments sent again, resets, connection attempts dropped because the accept queue was full, and \
                 datagrams dropped because a buffer was full, per second.",
            )
            .size(8, 8)
            .query("{{container}} {{pod}} retransmitted", &rate("retransmitted_segments", ""))
            .query("{{container}} {{pod}} reset {{direction}}", &rate("resets", ", direction"))
            .query("{{container}} {{pod}} accept queue full", &rate("accept_queue_overflows", ""))
            .query("{{container}} {{pod}} UDP dropped", &rate("udp_dropped", "")),
        ],
    }
}
