//! The first line of a message: method and target of a request, status of a response.

use super::route::{OTHER_ROUTE, Routes, route};

/// Methods that are counted by themselves.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get = 0,
    /// `HEAD`, whose response has no body.
    Head = 1,
    /// `POST`.
    Post = 2,
    /// `PUT`.
    Put = 3,
    /// `DELETE`.
    Delete = 4,
    /// `PATCH`.
    Patch = 5,
    /// `OPTIONS`.
    Options = 6,
    /// `CONNECT`, after which the connection is a tunnel.
    Connect = 7,
}

impl Method {
    /// All methods, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Patch,
        Self::Options,
        Self::Connect,
    ];

    /// The value of the label `method`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
        }
    }
}

/// The methods with the space after them.
const TOKENS: [(u64, u32); 8] = [
    token(b"GET \0\0\0\0"),
    token(b"HEAD \0\0\0"),
    token(b"POST \0\0\0"),
    token(b"PUT \0\0\0\0"),
    token(b"DELETE \0"),
    token(b"PATCH \0\0"),
    token(b"OPTIONS "),
    token(b"CONNECT "),
];

const fn token(bytes: &[u8; 8]) -> (u64, u32) {
    let mut length = 0;
    while length < 8 && bytes[length] != 0 {
        length += 1;
    }
    (u64::from_le_bytes(*bytes), length as u32)
}

/// The lowest `bytes` bytes of a word; all of them for 8 and more.
#[inline(always)]
const fn mask(bytes: u32) -> u64 {
    if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 }
}

/// The start of a request, in one word: a number of a [`Method`] and the length of the method with its space, or one of
/// the constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start(pub u32);

impl Start {
    /// The data ends within the method.
    pub const CUT: Self = Self(0x100);
    /// No request.
    pub const OTHER: Self = Self(0x200);

    #[inline(always)]
    const fn new(number: u32, length: u32) -> Self {
        Self(number << 4 | length)
    }

    /// Whether there is a method.
    #[inline(always)]
    #[must_use]
    pub const fn is_method(self) -> bool {
        self.0 < Self::CUT.0
    }

    /// The number of the [`Method`].
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 >> 4 & 7
    }

    /// The length of the method with its space, at most 8.
    #[inline(always)]
    #[must_use]
    pub const fn length(self) -> u32 {
        self.0 & 15
    }
}

/// Recognises the method in the first `bytes` bytes of a request, of which `first` has up to eight.
#[inline(always)]
#[must_use]
pub fn method(first: u64, bytes: u32) -> Start {
    let mut start = Start::OTHER;
    let mut index = 0;
    while index < TOKENS.len() {
        let (word, length) = TOKENS[index];
        if bytes >= length {
            if first & mask(length) == word {
                return Start::new(index as u32, length);
            }
        } else if (first ^ word) & mask(bytes) == 0 {
            start = Start::CUT;
        }
        index += 1;
    }
    start
}

/// What the first line of a request starts with, in one word: a [`Start`] in the lower half, and the number of a route in the
/// upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine(pub u32);

impl RequestLine {
    /// The method.
    #[inline(always)]
    #[must_use]
    pub const fn start(self) -> Start {
        Start(self.0 & 0xffff)
    }

    /// The number of the route. Only correct if all bytes of the target that a route is recognised by have arrived.
    #[inline(always)]
    #[must_use]
    pub const fn route(self) -> u32 {
        self.0 >> 16
    }
}

/// Recognises the method and the route of a request, of which the first `bytes` bytes have arrived.
#[inline(always)]
#[must_use]
pub fn request_line(routes: &Routes, words: [u64; 4], bytes: u32) -> RequestLine {
    let start = method(words[0], bytes);
    let route = if start.is_method() { route(routes, words, start.length()) } else { OTHER_ROUTE };
    RequestLine(start.0 | route << 16)
}

/// Minimum number of bytes from which a status can be read.
pub const STATUS_BYTES: u32 = 12;

/// The status of a response whose first words are `words`; `None` if it is no response.
#[inline(always)]
#[must_use]
pub fn status(words: [u64; 2]) -> Option<u32> {
    if words[0] & mask(7) != u64::from_le_bytes(*b"HTTP/1.\0") || words[1] & 0xff != 0x20 {
        return None;
    }
    let digit = |index: u64| ((words[1] >> (8 * index)) & 0xff).wrapping_sub(0x30);
    let (hundreds, tens, ones) = (digit(1), digit(2), digit(3));
    if hundreds.wrapping_sub(1) > 8 || tens > 9 || ones > 9 {
        return None;
    }
    Some((hundreds * 100 + tens * 10 + ones) as u32)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn words<const N: usize>(text: &str) -> [u64; N] {
        let mut words = [0; N];
        for (index, byte) in text.bytes().take(8 * N).enumerate() {
            words[index / 8] |= u64::from(byte) << (8 * (index % 8));
        }
        words
    }

    #[test]
    fn every_method_is_recognised_at_its_space_and_not_before() {
        for (number, expected) in Method::ALL.into_iter().enumerate() {
            let line = std::format!("{} /", expected.name());
            let token = expected.name().len() as u32 + 1;
            for bytes in 1..token {
                let [first] = words(&line[..bytes as usize]);
                assert_eq!(method(first, bytes), Start::CUT, "{line} {bytes}");
            }
            let [first] = words(&line);
            assert_eq!(method(first, line.len() as u32), Start::new(number as u32, token), "{line}");
        }
    }

    #[test]
    fn tls_http2_and_text_are_no_requests() {
        for text in ["\x16\x03\x01\x02", "PRI * HTTP/2.0", "get / HTTP/1.1", "GETTING", "HTTP/1.1 200 OK"] {
            let [first] = words(text);
            assert_eq!(method(first, text.len() as u32), Start::OTHER, "{text}");
        }
    }

    #[test]
    fn a_status_has_three_digits_after_the_version() {
        assert_eq!(status(words("HTTP/1.1 200 OK\r")), Some(200));
        assert_eq!(status(words("HTTP/1.0 404 Not")), Some(404));
        assert_eq!(status(words("HTTP/1.1 99 OK\r\n")), None);
        assert_eq!(status(words("HTTP/2 200 OK\r\n\r")), None);
        assert_eq!(status(words("HTTP/1.1 2x0 OK\r")), None);
        assert_eq!(status(words("HTTP/1.1")), None);
    }
}
