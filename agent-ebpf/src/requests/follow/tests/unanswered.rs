//! Which requests wait for the server, and which ones for their client.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn unanswered(wire: &Wire) -> u32 {
    wire.connection.unanswered()
}

#[test]
fn a_request_waits_for_the_server_from_its_last_byte_to_the_first_one_of_the_response() {
    for request in [
        GET,
        "POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\n01234567890123456789",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    ] {
        for cut in [1, 7, 100] {
            let mut wire = Wire::new().cut(&[cut]);
            let (most, last) = request.split_at(request.len() - 1);
            for byte in most.split_inclusive(|_| true) {
                wire.client(byte);
                assert_eq!(unanswered(&wire), 0, "{request:?}");
            }
            wire.client(last);
            assert_eq!((unanswered(&wire), wire.connection.in_flight()), (1, 1), "{request:?}");
            wire.server(&OK[..20]);
            assert_eq!((unanswered(&wire), wire.connection.in_flight()), (0, 1), "{request:?}");
            wire.server(&OK[20..]);
            assert_eq!((unanswered(&wire), wire.connection.in_flight()), (0, 0), "{request:?}");
        }
    }
}

#[test]
fn an_interim_response_leaves_the_request_unanswered() {
    let mut wire = Wire::new();
    wire.client("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    wire.server("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(unanswered(&wire), 0);
    wire.client("body");
    assert_eq!(unanswered(&wire), 1);
    wire.server("HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_eq!(unanswered(&wire), 1);
}

#[test]
fn an_incomplete_request_does_not_hide_those_before_it() {
    let mut wire = Wire::new();
    wire.client(GET.repeat(2)).client("GET / HTTP/1.1\r\n");
    assert_eq!((unanswered(&wire), wire.connection.in_flight()), (2, 3));
    wire.server(OK);
    assert_eq!(unanswered(&wire), 1);
    wire.server(OK);
    assert_eq!((unanswered(&wire), wire.connection.in_flight()), (0, 1));
    // The server answers before the request is complete.
    wire.server(OK);
    assert_eq!((unanswered(&wire), wire.connection.in_flight()), (0, 0));
}

#[test]
fn a_request_behind_a_response_that_is_being_sent_may_wait_for_the_client() {
    let mut wire = Wire::new();
    wire.client(GET.repeat(2)).server(&OK[..20]);
    assert_eq!((unanswered(&wire), wire.connection.in_flight()), (0, 2));
    wire.server(&OK[20..]);
    assert_eq!((unanswered(&wire), wire.connection.in_flight()), (1, 1));
}

#[test]
fn nothing_waits_on_a_connection_that_has_ended_or_is_not_followed() {
    let mut wire = Wire::new();
    wire.client(GET).close(true, true);
    assert_eq!(unanswered(&wire), 0);
    let mut wire = Wire::new();
    wire.client(GET).close(true, false);
    assert_eq!((unanswered(&wire), wire.connection.in_flight()), (0, 1), "the client may have given up");
    let mut wire = Wire::new();
    wire.client(GET.repeat(9));
    assert_eq!((wire.seen().opaque.len(), unanswered(&wire)), (1, 0));
}

#[test]
fn a_connection_that_is_read_while_it_is_written_has_no_impossible_number() {
    let connection = Connection { pushed: 5, popped: 6, ..Connection::default() };
    assert_eq!(connection.unanswered(), 0);
}
