//! Requests that a simple counter gets wrong.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Runs a conversation uncut, cut into single bytes, and with each single cut.
fn every_cut(talk: impl Fn(&mut Wire), check: impl Fn(&Wire)) {
    let mut cuts: Vec<Vec<usize>> =
        vec![vec![usize::MAX], vec![1], vec![2], vec![7], vec![39], vec![41], vec![256, 1, 300]];
    cuts.extend((1..120).map(|first| vec![first, usize::MAX]));
    for cut in cuts {
        let mut wire = Wire::new().cut(&cut);
        talk(&mut wire);
        assert_eq!(wire.connection.in_flight(), 0, "{cut:?}");
        check(&wire);
    }
}

#[test]
fn a_request_and_its_response_count_once() {
    every_cut(
        |wire| {
            wire.client("GET / HTTP/1.1\r\nHost: x\r\n\r\n").server(OK);
        },
        |wire| {
            let seen = wire.seen();
            assert_eq!(seen.responses, [(Method::Get, 200)]);
            assert_eq!((seen.completed, seen.response_bytes), (1, OK.len() as u64));
            assert_eq!(seen.request_bytes, [27]);
        },
    );
}

#[test]
fn requests_count_when_the_client_does_not_wait_for_responses() {
    let eight = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(8);
    every_cut(
        |wire| {
            wire.client(&eight).server(OK.repeat(8));
        },
        |wire| {
            assert_eq!(wire.seen().responses, [(Method::Get, 200); 8]);
            assert_eq!(wire.seen().completed, 8);
        },
    );
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(9));
    assert_eq!(wire.seen().opaque, [Opaque::Pipelined]);
}

#[test]
fn a_body_full_of_requests_is_a_body() {
    let body = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40);
    every_cut(
        |wire| {
            wire.client(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
                .server(OK);
            wire.client(format!(
                "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n5;a=b\r\nGET /\r\n0\r\nX: y\r\n\r\n",
                body.len()
            ));
            wire.server(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 17 * 100));
            wire.server("HTTP/1.1 500 No\r\n".repeat(100));
        },
        |wire| {
            assert_eq!(wire.seen().responses, [(Method::Post, 200), (Method::Put, 200)]);
            assert_eq!(wire.seen().completed, 2);
            assert!(wire.seen().opaque.is_empty() && wire.seen().resynchronized == 0);
        },
    );
}

#[test]
fn an_interim_response_is_none() {
    every_cut(
        |wire| {
            wire.client("POST /upload HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
                .server("HTTP/1.1 100 Continue\r\n\r\n")
                .client("body")
                .server("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
                .server(OK);
        },
        |wire| assert_eq!(wire.seen().responses, [(Method::Post, 200)]),
    );
}

#[test]
fn responses_without_a_body_end_with_their_heads() {
    every_cut(
        |wire| {
            wire.client("HEAD / HTTP/1.1\r\n\r\n").server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            wire.client("GET / HTTP/1.1\r\n\r\n")
                .server("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n");
            wire.client("DELETE / HTTP/1.1\r\n\r\n").server("HTTP/1.1 204 No Content\r\n\r\n");
            wire.client("GET / HTTP/1.1\r\n\r\n")
                .server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        },
        |wire| {
            let expected =
                [(Method::Head, 200), (Method::Get, 304), (Method::Delete, 204), (Method::Get, 404)];
            assert_eq!(wire.seen().responses, expected);
            assert_eq!(wire.seen().completed, 4);
        },
    );
}

#[test]
fn a_response_may_come_before_the_request_is_complete() {
    every_cut(
        |wire| {
            wire.client("POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n")
                .client("x".repeat(700))
                .server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
                .client("GET / HTTP/1.1\r\n\r\n".repeat(100))
                .client("x".repeat(1300 - 1800 % 1300))
                .client("");
        },
        |wire| assert_eq!(wire.seen().responses, [(Method::Post, 413)]),
    );
}

#[test]
fn a_response_without_a_length_ends_with_the_connection() {
    every_cut(
        |wire| {
            wire.client("GET / HTTP/1.0\r\n\r\n").server("HTTP/1.1 200 OK\r\n\r\n").server("x".repeat(500));
            assert_eq!(wire.connection.in_flight(), 1);
            wire.close(false, false).close(true, false);
        },
        |wire| {
            assert_eq!((wire.seen().completed, wire.seen().response_bytes), (1, 519));
            assert!(wire.seen().aborted.is_empty());
        },
    );
}

#[test]
fn a_client_that_goes_away_aborts_its_requests() {
    for (fin_first, reset) in [(false, true), (true, true), (true, false)] {
        let mut wire = Wire::new();
        wire.client("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        wire.server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789");
        if fin_first {
            wire.close(true, false);
            assert_eq!(wire.connection.in_flight(), 2);
        }
        wire.close(!fin_first || reset, reset);
        if fin_first && !reset {
            wire.close(false, false);
        }
        assert_eq!(wire.connection.in_flight(), 0);
        assert_eq!(wire.seen().aborted, [(2, true)], "{fin_first} {reset}");
        assert_eq!(wire.seen().response_bytes, 51, "what was sent of the response");
    }
    let mut wire = Wire::new();
    wire.client("GET / HTTP/1.1\r\n\r\n").close(false, false);
    assert_eq!(wire.seen().aborted, [(1, false)], "the server closed");
}

#[test]
fn an_idle_connection_that_closes_aborts_nothing() {
    let mut wire = Wire::new();
    wire.client("GET / HTTP/1.1\r\n\r\n").server(OK).close(true, false).close(false, false).close(true, true);
    assert!(wire.seen().aborted.is_empty());
    wire.client("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(wire.seen().responses.len(), 1, "an ended connection is not followed");
}

#[test]
fn what_is_not_http_is_recognised_and_not_guessed() {
    for (text, reason) in [
        ("\x16\x03\x01\x02\x00\x01\x00", Opaque::Tls),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Opaque::Http2),
        ("SSH-2.0-x\r\n", Opaque::NotHttp),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Opaque::Malformed),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Opaque::Malformed),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Opaque::Malformed),
    ] {
        let mut wire = Wire::new();
        wire.client(text).client("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(wire.seen().opaque, [reason], "{text:?}");
        assert!(wire.seen().responses.is_empty());
    }
}

#[test]
fn an_upgrade_is_counted_and_the_rest_is_not_followed() {
    every_cut(
        |wire| {
            wire.client("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
                .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02GET")
                .client("GET / HTTP/1.1\r\n\r\n");
        },
        |wire| {
            assert_eq!(wire.seen().responses, [(Method::Get, 101)]);
            assert_eq!(wire.seen().opaque, [Opaque::Upgraded]);
        },
    );
}

#[test]
fn a_head_up_to_16_kib_is_followed_and_a_longer_one_is_not() {
    for cut in [usize::MAX, 1460, 100, 13] {
        let mut wire = Wire::new().cut(&[cut]);
        let cookie = |bytes| format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(bytes));
        wire.client(cookie(15_000)).server(OK).client(cookie(9_000)).server(OK);
        assert_eq!(wire.seen().responses.len(), 2);
        wire.client(cookie(65_536));
        assert_eq!(wire.seen().opaque, [Opaque::Malformed], "{cut}");
    }
}

#[test]
fn a_retransmitted_segment_counts_once() {
    let mut wire = Wire::new();
    let (request, response) = ("GET / HTTP/1.1\r\n\r\n", OK);
    let (client, server) = (wire.next[0], wire.next[1]);
    wire.client(request);
    wire.deliver(true, client, request.as_bytes());
    wire.server(response);
    wire.deliver(false, server, response.as_bytes());
    wire.deliver(false, server, &response.as_bytes()[..10]);
    wire.client(request);
    // The kernel may retransmit two segments as one.
    wire.deliver(true, client, request.repeat(2).as_bytes());
    wire.server(response);
    assert_eq!(wire.seen().responses.len(), 2);
    assert_eq!(wire.seen().completed, 2);
}

#[test]
fn a_head_in_two_segments_out_of_order_counts_once() {
    let mut wire = Wire::new();
    let (first, second) = ("POST / HTTP/1.1\r\nX: y\r\nConte", "nt-Length: 3\r\n\r\nabc");
    let start = wire.next[0];
    wire.next[0] = start.wrapping_add((first.len() + second.len()) as u32);
    wire.deliver(true, start.wrapping_add(first.len() as u32), second.as_bytes());
    wire.deliver(true, start, first.as_bytes());
    wire.server(OK);
    wire.client("GET / HTTP/1.1\r\n\r\n").server(OK);
    assert_eq!(wire.seen().responses, [(Method::Post, 200), (Method::Get, 200)]);
    assert_eq!(wire.seen().resynchronized, 1);
}

#[test]
fn a_body_out_of_order_does_not_disturb() {
    let mut wire = Wire::new();
    wire.client("POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n");
    let start = wire.next[0];
    for (offset, bytes) in [(20, 10), (0, 10), (10, 10)] {
        wire.deliver(true, start.wrapping_add(offset), &vec![b'G'; bytes]);
    }
    wire.next[0] = start.wrapping_add(30);
    wire.server(OK).client("GET / HTTP/1.1\r\n\r\n").server(OK);
    assert_eq!(wire.seen().responses, [(Method::Post, 200), (Method::Get, 200)]);
}

#[test]
fn a_request_whose_body_arrives_before_its_head_is_counted_when_the_connection_ends() {
    let head = "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n";
    for (by_client, reset) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut wire = Wire::new();
        let start = wire.next[0];
        wire.deliver(true, start.wrapping_add(head.len() as u32), &[b'x'; 30]);
        wire.deliver(true, start, head.as_bytes());
        wire.next[0] = start.wrapping_add(head.len() as u32 + 30);
        wire.server(OK);
        assert!(wire.seen().request_bytes.is_empty());
        wire.close(by_client, reset).close(!by_client, false);
        assert_eq!(wire.seen().request_bytes, [head.len() as u64 + 30], "{by_client} {reset}");
    }
    // A part of the body was not sent.
    let mut wire = Wire::new();
    wire.client(head).client("x").close(true, false).close(false, false);
    assert!(wire.seen().request_bytes.is_empty());
}

#[test]
fn a_reset_without_an_acknowledgment_does_not_change_the_bytes_of_the_response() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    for parts in [&[100][..], &[1000, 1, 5000]] {
        let mut wire = Wire::new();
        wire.client("GET / HTTP/1.1\r\n\r\n").server(head);
        parts.iter().for_each(|bytes| _ = wire.server(vec![b'x'; *bytes]));
        // Sent again.
        let sequence = wire.next[1].wrapping_sub(50);
        wire.deliver(false, sequence, &[b'x'; 50]);
        wire.acknowledges = false;
        wire.close(true, true);
        let sent = head.len() + parts.iter().sum::<usize>();
        assert_eq!(wire.seen().response_bytes, sent as u64);
        assert_eq!(wire.seen().aborted, [(1, true)]);
    }
}

#[test]
fn a_stream_ends_when_its_client_closes_and_is_not_aborted() {
    for (by_client, aborted) in [(true, &[][..]), (false, &[(1, false)])] {
        let mut wire = Wire::new();
        wire.client("GET /events HTTP/1.1\r\n\r\n");
        wire.server(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        wire.server("5\r\nhello\r\n").close(by_client, false).close(!by_client, false);
        assert_eq!(wire.seen().aborted, aborted, "{by_client}");
        assert_eq!(wire.seen().streams, u32::from(by_client));
    }
}

#[test]
fn events_are_chunks_of_a_stream_and_comments_are_none() {
    let mut wire = Wire::new();
    wire.client("GET /events HTTP/1.1\r\n\r\n");
    wire.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(wire.connection.is_streaming() && wire.connection.in_flight() == 0);
    for text in ["data: a\n\n", ": ping\n\n", "data: b\n\n", "event: c\n\n"] {
        wire.server(format!("{:x}\r\n{text}\r\n", text.len()));
    }
    wire.server("0\r\n\r\n");
    let seen = wire.seen();
    assert_eq!((seen.first_events, seen.events, seen.streams, seen.completed), (1, 2, 1, 0));
    assert!(!wire.connection.is_streaming());
}

#[test]
fn chunks_of_a_page_are_no_stream_unless_the_server_waits_between_them() {
    for (wait_ns, streams) in [(10_000_000, 0), (300_000_000, 1)] {
        let mut wire = Wire::new();
        wire.client("GET / HTTP/1.1\r\n\r\n");
        wire.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        wire.wait(wait_ns).server("5\r\nworld\r\n").server("0\r\n\r\n");
        assert_eq!((wire.seen().streams, wire.seen().completed), (streams, 1 - streams));
    }
}

#[test]
fn a_body_of_many_gib_ends_where_it_ends() {
    let mut wire = Wire::new();
    let length = 5_u64 << 30;
    wire.client(format!("PUT / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"));
    let piece = vec![b'G'; 1 << 20];
    for _ in 0..length >> 20 {
        wire.client(&piece);
    }
    wire.client("GET / HTTP/1.1\r\n\r\n").server(OK).server(OK);
    assert_eq!(wire.seen().responses, [(Method::Put, 200), (Method::Get, 200)]);
    assert_eq!(wire.seen().request_bytes[0], length + 46);
}

#[test]
fn the_pieces_of_a_job_message_are_reported() {
    let body = format!("{{\"data\":[\"{}\"],\"fn_index\":3}}", "x".repeat(300));
    let head = format!("POST /queue/join HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let (answer_head, answer) = ("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n", "{\"event_id\":\"ab\"}");
    for together in [false, true] {
        let mut wire = Wire::new();
        if together {
            wire.client(format!("{head}{body}")).server(format!("{answer_head}{answer}"));
        } else {
            wire.client(&head).client(&body).server(answer_head).server(answer);
        }
        let seen = wire.seen();
        assert_eq!(seen.routes, [1]);
        let kinds: Vec<_> = seen.parts.iter().map(|(kind, _)| *kind).collect();
        let expected = [
            PieceKind::RequestHead,
            PieceKind::RequestBodyStart,
            PieceKind::RequestBodyEnd,
            PieceKind::ResponseHead,
            PieceKind::ResponseBody,
            PieceKind::ResponseEnd,
        ];
        assert_eq!(kinds, expected, "{together}");
        assert!(seen.parts[1].1.starts_with("{\"data\":"), "{together}");
        assert!(seen.parts[2].1.ends_with("\"fn_index\":3}"));
        assert_eq!(seen.parts[4].1, answer);
    }
}
