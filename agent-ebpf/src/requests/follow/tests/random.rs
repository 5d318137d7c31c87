//! Legal conversations in any cut, and garbage.

use proptest::{collection::vec, prelude::*};

use super::*;

#[derive(Clone, Debug)]
struct Exchange {
    method: Method,
    /// `None`: chunked.
    request_length: Option<usize>,
    status: u32,
    response_length: Option<usize>,
    interim: bool,
    header: String,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    (
        0usize..7,
        any::<bool>(),
        0usize..3000,
        prop::sample::select(&[200u32, 204, 304, 404, 500][..]),
        any::<bool>(),
        0usize..5000,
        any::<bool>(),
        "[ -~]{0,400}",
    )
        .prop_map(
            |(method, request_chunked, request, status, response_chunked, response, interim, header)| {
                Exchange {
                    method: Method::ALL[method],
                    request_length: (!request_chunked).then_some(request),
                    status,
                    response_length: (!response_chunked).then_some(response),
                    interim,
                    header,
                }
            },
        )
}

/// Text that looks like messages.
fn hostile(bytes: usize) -> String {
    let text = "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nHTTP/1.1 500 X\r\n\r\n0\r\n\r\n";
    text.chars().cycle().take(bytes).collect()
}

fn chunked(bytes: usize) -> String {
    let mut text = String::new();
    let mut left = bytes;
    while left > 0 {
        let size = left.min(1 + left % 700);
        text += &format!("{size:X}\r\n{}\r\n", hostile(size));
        left -= size;
    }
    text + "0\r\n\r\n"
}

impl Exchange {
    fn request(&self) -> String {
        let head = format!("{} /target HTTP/1.1\r\nX-Filler: {}\r\n", self.method.name(), self.header);
        match self.request_length {
            Some(0) => head + "\r\n",
            Some(bytes) => head + &format!("content-length: {bytes}\r\n\r\n{}", hostile(bytes)),
            None => head + "Transfer-Encoding: chunked\r\n\r\n" + &chunked(1234),
        }
    }

    fn response(&self) -> String {
        let mut text = String::new();
        if self.interim {
            text += "HTTP/1.1 100 Continue\r\n\r\n";
        }
        text += &format!("HTTP/1.1 {} X\r\nX-Filler: {}\r\n", self.status, self.header);
        let has_body = self.method != Method::Head && self.status != 204 && self.status != 304;
        match self.response_length {
            Some(bytes) => {
                text += &format!("Content-Length: {bytes}\r\n\r\n");
                if has_body {
                    text += &hostile(bytes);
                }
            }
            None => {
                text += "Transfer-Encoding: chunked\r\n\r\n";
                if has_body {
                    text += &chunked(2345);
                }
            }
        }
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn legal_conversations_are_counted_exactly_in_any_cut(
        exchanges in vec(exchange(), 1..8),
        cuts in vec(1usize..2000, 1..60),
        pipelined in any::<bool>(),
    ) {
        let mut wire = Wire::new().cut(&cuts);
        if pipelined {
            let requests: String = exchanges.iter().map(Exchange::request).collect();
            wire.client(requests);
        }
        for exchange in &exchanges {
            if !pipelined {
                wire.client(exchange.request());
            }
            wire.server(exchange.response());
        }
        let seen = wire.seen();
        let expected: Vec<_> = exchanges.iter().map(|exchange| (exchange.method, exchange.status)).collect();
        prop_assert_eq!(&seen.responses, &expected);
        prop_assert_eq!(seen.completed as usize, exchanges.len());
        prop_assert_eq!(seen.opaque.len(), 0);
        let request_bytes: Vec<_> = exchanges.iter().map(|exchange| exchange.request().len() as u64).collect();
        prop_assert_eq!(&seen.request_bytes, &request_bytes);
        let response_bytes: u64 = exchanges.iter().map(|exchange| exchange.response().len() as u64).sum();
        prop_assert_eq!(seen.response_bytes, response_bytes);
        prop_assert_eq!(wire.connection.in_flight(), 0);
    }

    #[test]
    fn garbage_ends_and_keeps_the_counts_consistent(
        segments in vec((any::<bool>(), any::<i16>(), prop_oneof![
            vec(any::<u8>(), 1..400),
            "(GET|POST) /[a-z]{0,9} HTTP/1.1\r\n(Content-Length: [0-9]{1,20}\r\n|Transfer-Encoding: chunked\r\n)?\r\n([0-9a-f]{1,9}\r\n)?".prop_map(String::into_bytes),
            "HTTP/1.1 [1-5][0-9]{2} X\r\n(Content-Length: [0-9]{1,4}\r\n)?\r\n".prop_map(String::into_bytes),
        ]), 1..60),
    ) {
        let mut wire = Wire::new();
        for (by_client, jump, payload) in segments {
            let direction = usize::from(!by_client);
            // One segment in four is out of order.
            let jump = if jump % 4 == 0 { i32::from(jump) / 64 } else { 0 };
            let sequence = wire.next[direction].wrapping_add(jump as u32);
            wire.next[direction] = sequence.wrapping_add(payload.len() as u32);
            wire.deliver(by_client, sequence, &payload);
            prop_assert!(wire.connection.in_flight() <= 9);
            prop_assert!(wire.seen().opaque.len() <= 1);
            prop_assert!(wire.seen().completed + wire.seen().streams <= wire.seen().responses.len() as u32);
        }
    }
}
