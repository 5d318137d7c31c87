//! The response to a health check: its status, and the first line of its body. Another program may listen at the address,
//! so the length is limited and control characters are replaced.

use std::io::{ErrorKind, Read};

use anyhow::Context as _;

/// Maximum length of a response. That of the agent has some 400 bytes.
const MAX_BYTES: u64 = 8192;
/// Maximum number of characters of the body that are shown.
const SHOWN_CHARS: usize = 200;

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The first line of the body.
    pub(super) text: String,
}

impl Answer {
    pub(super) fn read(stream: impl Read) -> anyhow::Result<Self> {
        let mut response = Vec::new();
        match stream.take(MAX_BYTES).read_to_end(&mut response) {
            // Not every server ends TLS properly; an incomplete response is noticed below.
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error).context("read the response"),
            _ => Self::parse(&response).context("the response is not HTTP; another program may use the port"),
        }
    }

    fn parse(response: &[u8]) -> Option<Self> {
        let response = String::from_utf8_lossy(response);
        let (head, body) = response.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        let line = body.lines().next().unwrap_or_default();
        let plain = |character: char| if character.is_control() { '\u{fffd}' } else { character };
        Some(Self { status, text: line.chars().take(SHOWN_CHARS).map(plain).collect() })
    }

    /// Another program may answer every path with 200.
    pub(super) fn is_healthy(&self) -> bool {
        self.status == 200 && self.text == "ok"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_of_an_agent_is_healthy() {
        for (response, status, text, healthy) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n", 200, "ok", true),
            ("HTTP/1.1 200 OK\r\n\r\nok\nDEMO: made up\n", 200, "ok", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nno snapshot yet\n", 503, "no snapshot yet", false),
            ("HTTP/1.0 200 OK\r\n\r\n<html>\u{1b}[2J", 200, "<html>\u{fffd}[2J", false),
            ("HTTP/1.1 404\r\n\r\n", 404, "", false),
        ] {
            let answer = Answer::read(response.as_bytes()).unwrap();
            assert_eq!(answer, Answer { status, text: text.into() }, "{response}");
            assert_eq!(answer.is_healthy(), healthy, "{response}");
        }
    }

    #[test]
    fn what_is_not_http_is_an_error_and_a_long_response_is_cut() {
        for response in
            ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 x\r\n\r\n", "HTTP/2 200\r\n\r\n"]
        {
            let error = format!("{:#}", Answer::read(response.as_bytes()).unwrap_err());
            assert!(error.contains("another program may use the port"), "{response}: {error}");
        }
        let endless = Read::chain(&b"HTTP/1.1 200 OK\r\n\r\n"[..], std::io::repeat(b'x'));
        assert_eq!(Answer::read(endless).unwrap().text.len(), SHOWN_CHARS);
    }
}
