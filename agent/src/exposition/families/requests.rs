//! Requests over HTTP/1.1 that containers serve, and streams of events. What has not occurred has no series.

use crate::{
    exposition::{
        family::{Draft, Family},
        sample::{Emit, Resolution},
    },
    snapshot::{
        ContainerRow,
        requests::{Opaque, RequestMeasures, RequestUsage, duration},
        uploads::{Format, SIZE_BUCKETS, Uploads},
    },
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    counter("glassbox_container_http_requests_total")
        .help(
            "HTTP/1.1 requests whose response has begun. `route` is one of a fixed list of prefixes \
             (docs/requests.md), never a path.",
        )
        .labels(&["method", "code_class", "route"])
        .container(|row, emit| {
            for response in row.requests.iter().flat_map(|requests| &requests.responses) {
                emit.with(&[response.method, response.code_class, &response.route]).count(response.count);
            }
        }),
    histogram("glassbox_container_http_request_duration_seconds")
        .help(
            "Time from the arrival of a request at the host to the last byte of its response, in seconds; \
             without streams.",
        )
        .container(|row, emit| durations(row, emit, duration::RESPONSE)),
    histogram("glassbox_container_http_time_to_first_byte_seconds")
        .help(
            "Time from the arrival of a request at the host to the first byte of its response, in seconds, \
             including the time that it waits in the server's socket.",
        )
        .container(|row, emit| durations(row, emit, duration::FIRST_BYTE)),
    Family::gauge("glassbox_container_http_requests_in_flight")
        .help("Requests that are not answered completely; without streams.")
        .source(SOURCE)
        .container(|row, emit| emit.count(of(row).map(|requests| requests.in_flight))),
    Family::gauge("glassbox_container_http_oldest_request_seconds")
        .help("Time since the oldest request in flight arrived, in seconds. No series without one.")
        .source(SOURCE)
        .container(|row, emit| emit.time(of(row).and_then(|requests| requests.oldest))),
    counter("glassbox_container_http_request_bytes_total")
        .help("Bytes of complete requests, with their heads.")
        .container(|row, emit| emit.count(of(row).map(|requests| requests.measures.request_bytes))),
    counter("glassbox_container_http_response_bytes_total")
        .help("Bytes of responses that are complete or were aborted, with their heads.")
        .container(|row, emit| emit.count(of(row).map(|requests| requests.measures.response_bytes))),
    counter("glassbox_container_http_aborted_requests_total")
        .help(
            "Requests whose connection ended before the response was complete, by the side that closed it \
             first. No series while 0.",
        )
        .labels(&["side"])
        .container(|row, emit| {
            let Some(requests) = of(row) else { return };
            let RequestMeasures { aborted_by_client, aborted_by_server, .. } = requests.measures;
            for (side, count) in [("client", aborted_by_client), ("server", aborted_by_server)] {
                emit.with(&[side]).count(nonzero(count));
            }
        }),
    counter("glassbox_container_http_retries_total")
        .help(
            "Requests that a client sent again: the same address, method and route, within 10 s after a \
             response with status 5xx, 429 or 408, or after a connection that ended without a complete \
             response. No series while 0.",
        )
        .labels(&["route"])
        .container(|row, emit| {
            for retry in of(row).iter().flat_map(|requests| &requests.retries) {
                emit.with(&[&retry.route]).count(retry.count);
            }
        }),
    counter("glassbox_container_http_opaque_connections_total")
        .help(
            "Connections that are not followed, or no longer, by reason: encrypted (`tls`), \
             `http2`, `upgraded` (such as WebSocket), `not_http`, `malformed`, more than 8 requests without \
             a response (`pipelined`), packets were missed (`unsynchronized`). No series while 0.",
        )
        .labels(&["reason"])
        .container(|row, emit| {
            let Some(requests) = of(row) else { return };
            for (reason, count) in Opaque::ALL.into_iter().zip(requests.measures.opaque) {
                emit.with(&[reason.name()]).count(nonzero(count));
            }
        }),
    counter("glassbox_container_http_resynchronized_total")
        .help(
            "Connections that were picked up again at a later request, after packets had arrived out of order \
             or were missed. No series while 0.",
        )
        .container(|row, emit| {
            emit.count(of(row).and_then(|requests| nonzero(requests.measures.resynchronized)));
        }),
    Family::histogram("glassbox_container_upload_image_pixels")
        .help(
            "Pixels of uploaded images (width times height), of the first file of each request with the route \
             `upload`.",
        )
        .source("first bytes of uploads; only with requests.upload_images")
        .container(|row, emit| {
            if let Some(uploads) = uploads(row).filter(|uploads| uploads.pixels.counts != [0; SIZE_BUCKETS]) {
                emit.sizes(&uploads.pixels);
            }
        }),
    counter("glassbox_container_upload_images_unknown_total")
        .help(
            "Uploads that are missing from `glassbox_container_upload_image_pixels`, by format: the first bytes \
             do not contain the dimensions, or are no image (`other`). No series while 0.",
        )
        .labels(&["format"])
        .container(|row, emit| {
            let Some(Uploads { unknown, others, .. }) = uploads(row) else { return };
            for (format, count) in Format::ALL.into_iter().zip(unknown) {
                emit.with(&[format.name()]).count(nonzero(*count));
            }
            emit.with(&["other"]).count(nonzero(*others));
        }),
    Family::gauge("glassbox_container_streams_open")
        .help("Responses that are streams of events and are not complete.")
        .source(SOURCE)
        .container(|row, emit| {
            let has_streams = |requests: &&RequestUsage| {
                requests.streams > 0
                    || requests.measures.durations[duration::FIRST_EVENT].count() > 0
                    || requests.measures.durations[duration::STREAM].count() > 0
            };
            emit.count(of(row).filter(has_streams).map(|requests| requests.streams));
        }),
    histogram("glassbox_container_stream_first_event_seconds")
        .help("Time from the arrival of a request to the first event of its stream, in seconds.")
        .container(|row, emit| durations(row, emit, duration::FIRST_EVENT)),
    histogram("glassbox_container_stream_event_gap_seconds")
        .help("Time between two events of a stream, in seconds. An event is a chunk that is not a comment.")
        .container(|row, emit| durations(row, emit, duration::EVENT_GAP)),
    histogram("glassbox_container_stream_duration_seconds")
        .help("Time from the arrival of a request to the end of its stream, in seconds.")
        .container(|row, emit| durations(row, emit, duration::STREAM)),
];

const SOURCE: &str = "requests programs, on the ports on which the container listens";

const fn counter(name: &'static str) -> Draft {
    Family::counter(name).source(SOURCE)
}

const fn histogram(name: &'static str) -> Draft {
    Family::histogram(name).source("requests programs; no series while empty")
}

fn of(row: &ContainerRow) -> Option<&RequestUsage> {
    row.requests.as_deref()
}

fn uploads(row: &ContainerRow) -> Option<&Uploads> {
    of(row)?.uploads.as_ref()
}

fn nonzero(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

fn durations(row: &ContainerRow, emit: &mut Emit<'_>, kind: usize) {
    let histogram = of(row).and_then(|requests| requests.measures.durations.get(kind));
    if let Some(histogram) = histogram.filter(|histogram| histogram.count() > 0) {
        // A stream lasts as long as a job.
        let resolution = if kind == duration::STREAM { Resolution::Long } else { Resolution::Requests };
        emit.histogram(histogram, resolution);
    }
}
