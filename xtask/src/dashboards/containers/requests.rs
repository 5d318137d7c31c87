//! Requests that containers serve: rate, errors, durations; and streams of events.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, Histogram, LABELS, promql, quantile},
};

pub(super) fn row() -> Row {
    let quantile = |part: &str, histogram: &str| quantile(part, &Histogram(histogram, "CONTAINERS"), LABELS);
    let rate = |selector: &str| {
        promql(&format!(
            "sum by (instance, namespace, pod, container) \
             (rate(glassbox_container_http_requests_total{{CONTAINERS{selector}}}[$__rate_interval]))"
        ))
    };
    let retries = promql(
        "sum by (instance, namespace, pod, container) \
         (rate(glassbox_container_http_retries_total{CONTAINERS}[$__rate_interval]))",
    );
    Row {
        title: "Requests", collectors: "requests",
        panels: vec![
            Panel::lines(
                "Requests",
                "reqps",
                "HTTP/1.1 requests that the container answered, per second. Requests inside TLS and HTTP/2 are not seen.",
            )
            .size(8, 8)
            .query(CONTAINER, &rate("")),
            Panel::lines(
                "Server errors and retries",
                "percentunit",
                "Responses with a status of 500 and above, and requests that a client sent again within 10 s after a \
                 failure, as shares of all responses. Clients behind a proxy count as one client.",
            )
            .up_to(1.0)
            .size(8, 8)
            .query(CONTAINER, &format!("({}) / ({} > 0)", rate(", code_class=\"5xx\""), rate("")))
            .query(&format!("retries {CONTAINER}"), &format!("({}) / ({} > 0)", retries, rate(""))),
            Panel::lines(
                "Requests in flight",
                "none",
                "Requests that are not answered completely; without streams. A value that stays while no response is \
                 sent means that the server hangs.",
            )
            .size(8, 8)
            .query(CONTAINER, &promql("glassbox_container_http_requests_in_flight{CONTAINERS}")),
            Panel::lines(
                "Request duration",
                "s",
                "From the arrival of a request at the host to the last byte of the response; without streams.",
            )
            .size(8, 8)
            .query(&format!("P50 {CONTAINER}"), &quantile("0.5", "glassbox_container_http_request_duration_seconds"))
            .query(&format!("P95 {CONTAINER}"), &quantile("0.95", "glassbox_container_http_request_duration_seconds"))
            .query(&format!("P99 {CONTAINER}"), &quantile("0.99", "glassbox_container_http_request_duration_seconds")),
            Panel::lines(
                "Time to first event",
                "s",
                "P95 of the time from the arrival of a request to the first event of its stream, such as the first token \
                 of a language model.",
            )
            .size(8, 8)
            .query(CONTAINER, &quantile("0.95", "glassbox_container_stream_first_event_seconds")),
            Panel::lines("Streams open", "none", "Responses that are streams of events and are not complete.")
                .size(8, 8)
                .query(CONTAINER, &promql("glassbox_container_streams_open{CONTAINERS}")),
        ],
    }
}
