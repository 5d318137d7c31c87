//! Streams of events, and responses in chunks that are none.

use std::{thread, time::Duration};

use super::{super::probe::ALONE, GET, Server, Wire};

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn begin(wire: &mut Wire, kind: &str) {
    wire.client(GET);
    wire.server(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

#[test]
fn events_of_a_stream_are_counted_without_its_comments() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for segment_bytes in [usize::MAX, 1, 7] {
        let mut wire = server.connect();
        wire.segment_bytes = segment_bytes;
        begin(&mut wire, "text/event-stream");
        let usage = server.usage();
        assert_eq!((usage.streams, usage.in_flight, usage.oldest), (1, 0, None));
        // A cut between the size of a chunk and its first byte hides whether the chunk is a comment.
        if segment_bytes == usize::MAX {
            wire.server(chunk(": ping\n\n"));
        }
        for text in ["data: a\n\n", "data: b\n\n", "event: c\n\n"] {
            wire.server(chunk(text));
        }
        wire.server("0\r\n\r\n");
        let counts = server.counts();
        assert_eq!((counts.first_events, counts.event_gaps, counts.streams), (1, 2, 1), "{segment_bytes}");
        assert_eq!((counts.completed, counts.response_bytes), (0, wire.response_bytes), "{segment_bytes}");
        assert_eq!(server.usage().streams, 0);
    }
}

#[test]
fn lines_of_json_are_events_and_chunks_of_a_page_are_not() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for (kind, wait_ms, streams) in [
        ("application/x-ndjson", 0, 1),
        ("text/html", 0, 0),
        // Whatever the type: a server that waits between two chunks streams.
        ("text/html", 400, 1),
    ] {
        let mut wire = server.connect();
        begin(&mut wire, kind);
        wire.server(chunk("{\"a\":1}\n"));
        thread::sleep(Duration::from_millis(wait_ms));
        wire.server(chunk("{\"a\":2}\n")).server("0\r\n\r\n");
        let counts = server.counts();
        assert_eq!((counts.streams, counts.completed), (streams, 1 - streams), "{kind}, {wait_ms} ms");
    }
}

#[test]
fn times_of_a_stream_are_those_of_its_chunks() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    wire.client(GET);
    thread::sleep(Duration::from_millis(100));
    wire.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    thread::sleep(Duration::from_millis(200));
    wire.server(chunk("data: a\n\n"));
    thread::sleep(Duration::from_millis(400));
    wire.server(chunk("data: b\n\n")).server("0\r\n\r\n");
    let durations = server.usage().measures.durations;
    // First byte, whole response, first event, gap, stream.
    for (histogram, expected_ms) in durations.iter().zip([100, 0, 300, 400, 700]) {
        let ms = histogram.sum_ns / 1_000_000;
        assert!((expected_ms..expected_ms + 150).contains(&ms), "{ms} ms, {expected_ms} ms expected");
    }
}
