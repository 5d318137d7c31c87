//! Requests that a simple counter gets wrong. Each is exact, or counted as a connection that is not followed.

use std::collections::BTreeMap;

use super::{super::probe::ALONE, Counts, GET, OK, Server, Wire, set_option};

/// Segments of all sizes that matter: whole messages, single bytes, and cuts inside of every line.
const SEGMENT_BYTES: [usize; 5] = [usize::MAX, 1, 7, 41, 300];

/// A conversation that is exact: all of its bytes belong to complete requests and responses.
struct Case {
    what: &'static str,
    /// By method and class of the status.
    responses: &'static [((&'static str, &'static str), u64)],
    conversation: fn(&mut Wire),
}

const CASES: [Case; 9] = [
    Case {
        what: "requests on one connection",
        responses: &[(("GET", "2xx"), 3)],
        conversation: |wire| (0..3).for_each(|_| _ = wire.client(GET).server(OK)),
    },
    Case {
        what: "each single cut of a request and its response",
        responses: &[(("GET", "2xx"), GET.len() as u64 - 1)],
        conversation: |wire| {
            for cut in 1..GET.len() {
                let ((first, second), (start, end)) = (GET.split_at(cut), OK.split_at(cut));
                wire.client(first).client(second).server(start).server(end);
            }
        },
    },
    Case {
        what: "eight pipelined requests",
        responses: &[(("GET", "2xx"), 8)],
        conversation: |wire| _ = wire.client(GET.repeat(8)).server(OK.repeat(8)),
    },
    Case {
        what: "bodies full of requests",
        responses: &[(("POST", "2xx"), 1), (("PUT", "5xx"), 1)],
        conversation: |wire| {
            let body = GET.repeat(40);
            wire.client(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
                .server(OK);
            wire.client("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
            wire.client(format!("{:x}\r\n{body}\r\n5;a=b\r\nGET /\r\n0\r\nX: y\r\n\r\n", body.len()));
            wire.server("HTTP/1.1 500 No\r\nContent-Length: 1700\r\n\r\n");
            wire.server("HTTP/1.1 500 No\r\n".repeat(100));
        },
    },
    Case {
        what: "a response in chunks with extensions and trailers",
        responses: &[(("GET", "2xx"), 2)],
        conversation: |wire| {
            wire.client(GET).server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n");
            wire.server("1F;a=\"b\"\r\nHTTP/1.1 500 No\r\n\r\n0\r\n\r\n\r\n12345\r\n");
            wire.server("0\r\nX: y\r\nContent-Length: 7\r\n\r\n");
            wire.client(GET).server(OK);
        },
    },
    Case {
        what: "Expect and interim responses",
        responses: &[(("POST", "2xx"), 1)],
        conversation: |wire| {
            wire.client("POST /upload HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
                .server("HTTP/1.1 100 Continue\r\n\r\n")
                .client("body")
                .server("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
                .server(OK);
        },
    },
    Case {
        what: "responses without a body",
        responses: &[(("HEAD", "2xx"), 1), (("GET", "3xx"), 1), (("DELETE", "2xx"), 1), (("GET", "4xx"), 1)],
        conversation: |wire| {
            wire.client("HEAD / HTTP/1.1\r\n\r\n").server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            wire.client(GET).server("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n");
            wire.client("DELETE / HTTP/1.1\r\n\r\n").server("HTTP/1.1 204 No Content\r\n\r\n");
            wire.client(GET).server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        },
    },
    Case {
        what: "a 413 before the end of the body",
        responses: &[(("POST", "4xx"), 1), (("GET", "2xx"), 1)],
        conversation: |wire| {
            wire.client("POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n").client("x".repeat(700));
            wire.server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
            wire.client(&GET.repeat(100)[..1300]).client(GET).server(OK);
        },
    },
    Case {
        what: "version 1.0 with keep-alive, and empty lines between requests",
        responses: &[(("GET", "2xx"), 2)],
        conversation: |wire| {
            wire.client("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").server(OK);
            wire.client("\r\n").client(GET).server(OK);
            // An empty line belongs to no request.
            wire.request_bytes -= 2;
        },
    },
];

#[test]
fn awkward_requests_are_exact_wherever_segments_cut_them() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for Case { what, responses, conversation } in CASES {
        for segment_bytes in SEGMENT_BYTES {
            let (counts, wire) = server.talk(segment_bytes, conversation);
            let expected = Counts {
                responses: responses.iter().copied().collect(),
                completed: responses.iter().map(|(_, count)| count).sum(),
                request_bytes: wire.request_bytes,
                response_bytes: wire.response_bytes,
                ..Counts::default()
            };
            assert_eq!(counts, expected, "{what}, in segments of {segment_bytes} bytes");
            assert_eq!(server.usage().in_flight, 0, "{what}");
        }
    }
}

/// One segment is followed in at most 34 steps, of which each scans 256 bytes of a head or reads the size of one chunk.
#[test]
fn a_segment_that_needs_too_many_steps_is_counted_as_such() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let long_head = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(15_000));
    let chunks = format!("{}0\r\n\r\n", "5\r\nhello\r\n".repeat(200));
    for segment_bytes in [usize::MAX, 8000, 300, 41] {
        let (counts, wire) = server.talk(segment_bytes, |wire| {
            wire.client(&long_head).server(OK).client(GET).server(OK);
        });
        let is_long = segment_bytes == usize::MAX;
        assert_eq!((counts.responses(), counts.completed), (2, 2), "{segment_bytes}");
        assert_eq!((counts.resynchronized, counts.response_bytes), (is_long.into(), wire.response_bytes));
        let (counts, wire) = server.talk(segment_bytes, |wire| {
            wire.client(GET).server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").server(&chunks);
            if segment_bytes <= 300 {
                wire.client(GET).server(OK);
            }
        });
        if segment_bytes > 300 {
            assert_eq!(counts.opaque, [("unsynchronized", 1)].into(), "{segment_bytes}");
            assert_eq!((counts.responses(), counts.completed), (1, 0));
        } else {
            assert_eq!((counts.responses(), counts.completed), (2, 2), "{segment_bytes}");
            assert_eq!(counts.response_bytes, wire.response_bytes);
        }
    }
}

/// A segment may be large because the network has large packets, or because the kernel handles several small segments as one.
#[test]
fn a_head_of_64_kib_is_never_counted_wrongly_in_large_segments_and_in_small_ones() {
    const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
    const SMALL_BYTES: usize = 1448;
    const TIMESTAMPS_BYTES: i32 = 12;
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let (start, end) = ("GET / HTTP/1.1\r\nCookie: ", "\r\n\r\n");
    let head = format!("{start}{}{end}", "c".repeat((1 << 16) - start.len() - end.len()));
    let upload = format!("PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(1_000_000));
    let mut other = server.connect();
    for (what, written_bytes, is_small) in [
        ("one write", usize::MAX, false),
        ("one write, small segments", usize::MAX, true),
        ("small writes", SMALL_BYTES, true),
    ] {
        if is_small {
            let limit = SMALL_BYTES as i32 + TIMESTAMPS_BYTES;
            set_option(&server.listener, libc::IPPROTO_TCP, libc::TCP_MAXSEG, &limit);
        }
        other.client(&POST[..20]);
        let (counts, wire) = server.talk(written_bytes, |wire| {
            // The kernel sends large segments once some data has arrived.
            wire.client(&upload).server(OK).client(&head).server(OK).client(GET).server(OK);
        });
        println!("{what}: {counts:?}");
        // Either nothing of the connection is counted from here on, or all of it but the bytes that were not read.
        let resynchronized = counts.resynchronized;
        assert_eq!(counts.opaque.values().sum::<u64>() + resynchronized, 1, "{what}");
        let mut responses = BTreeMap::from([(("PUT", "2xx"), 1)]);
        if resynchronized == 1 {
            responses.insert(("GET", "2xx"), 2);
        }
        assert_eq!((counts.completed, &counts.responses), (responses.values().sum(), &responses), "{what}");
        assert_eq!(counts.response_bytes, counts.completed * OK.len() as u64, "{what}");
        assert!(counts.request_bytes <= wire.request_bytes, "{what}");
        assert_eq!(resynchronized == 0, written_bytes == SMALL_BYTES, "{what}");
        other.client(&POST[20..]).server(OK);
        let expected = Counts {
            responses: [(("POST", "2xx"), 1)].into(),
            completed: 1,
            request_bytes: POST.len() as u64,
            response_bytes: OK.len() as u64,
            ..Counts::default()
        };
        assert_eq!(server.counts(), expected, "{what}");
        assert_eq!(server.usage().in_flight, 0, "{what}");
    }
}

#[test]
fn what_cannot_be_followed_is_counted_with_its_reason() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let long_head = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(65_536));
    let nine = GET.repeat(9);
    for (text, reason) in [
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03", "tls"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "malformed"),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "malformed"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (&long_head, "malformed"),
        (&nine, "pipelined"),
    ] {
        for segment_bytes in SEGMENT_BYTES {
            // Connections that do not start with a method are recognised by their first segment.
            let is_first_segment_short = !text.starts_with(['G', 'P']) || text.starts_with("PRI");
            // A long head in one segment needs too many steps, and in single bytes too much time.
            let is_long = text.len() > 1000 && segment_bytes != 300;
            if is_long || segment_bytes < 300 && is_first_segment_short {
                continue;
            }
            let (counts, _wire) = server.talk(segment_bytes, |wire| {
                wire.client(text).client(GET).server(OK);
            });
            let what = format!("{:?} in segments of {segment_bytes} bytes", &text[..text.len().min(60)]);
            assert_eq!(counts.opaque, [(reason, 1)].into(), "{what}");
            assert_eq!(counts.responses(), 0, "{what}");
        }
    }
}

#[test]
fn an_upgrade_is_counted_and_what_follows_is_not() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    for segment_bytes in SEGMENT_BYTES {
        let (counts, _wire) = server.talk(segment_bytes, |wire| {
            wire.client("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
                .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02GET")
                .client(GET)
                .server(OK);
        });
        assert_eq!(counts.responses, [(("GET", "1xx"), 1)].into());
        assert_eq!(counts.opaque, [("upgraded", 1)].into());
    }
}
