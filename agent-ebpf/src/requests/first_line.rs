//! The first line of a message: method and target of a request, status of a response.

use super::rolled;

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

/// Maximum number of routes, without the route "other".
pub const ROUTES: usize = 16;
/// The number of the route of all requests that match no prefix. Routes with a prefix have the numbers from 1 on.
pub const OTHER_ROUTE: u32 = 0;
/// Maximum length of a route's prefix, in bytes.
pub const PREFIX_BYTES: usize = 24;

/// A prefix of request targets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The prefix; the first byte is the lowest byte of the first word.
    pub prefix: [u64; 3],
    /// Bits of the prefix that count. All 0 after the last route.
    pub mask: [u64; 3],
    /// Bits of [`flags`](Self::JOBS).
    pub flags: u64,
}

impl Route {
    /// The requests and responses of this route are job messages, which user space reads.
    pub const JOBS: u64 = 1;
    /// The body of the request is a job's, and its end is sent to user space, too.
    pub const JOB_BODY: u64 = 2;
    /// The first bytes of the body of the request are sent to user space.
    pub const UPLOADS: u64 = 4;

    /// The route of all targets that start with `prefix`, of which the first [`PREFIX_BYTES`] count.
    #[must_use]
    pub fn new(prefix: &[u8], flags: u64) -> Self {
        let mut route = Self { flags, ..Self::default() };
        for (index, byte) in prefix.iter().take(PREFIX_BYTES).enumerate() {
            route.prefix[index / 8] |= u64::from(*byte) << (8 * (index % 8));
            route.mask[index / 8] |= 0xff << (8 * (index % 8));
        }
        route
    }
}

/// All routes. User space writes them once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The routes, in the order in which they are tried.
    pub routes: [Route; ROUTES],
    /// The second bytes of the prefixes, modulo 64, as bits; the first byte is always a slash. Most requests to servers other
    /// than Gradio have none of them, and are not compared with the routes.
    pub seconds: u64,
}

impl Routes {
    /// Routes in the order in which they are tried; the first [`ROUTES`] count.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut all = Self::default();
        for (entry, route) in all.routes.iter_mut().zip(routes) {
            let is_longer = route.mask[0] >> 8 != 0;
            all.seconds |= if is_longer { second(route.prefix[0]) } else { u64::MAX };
            *entry = route;
        }
        all
    }
}

/// The bit of the second byte of a word.
#[inline(always)]
const fn second(word: u64) -> u64 {
    1 << (word >> 8 & 63)
}

/// The number of the route of a request whose first words are `words`. `skipped` is the length of the method with its
/// space.
#[inline(always)]
#[must_use]
pub fn route(routes: &Routes, words: [u64; 4], skipped: u32) -> u32 {
    let target = if skipped >= 8 {
        [words[1], words[2], words[3]]
    } else {
        let shift = (u64::from(skipped) * 8) & 56;
        let [a, b, c, d] = words;
        [
            (a >> shift) | ((b << 1) << (63 - shift)),
            (b >> shift) | ((c << 1) << (63 - shift)),
            (c >> shift) | ((d << 1) << (63 - shift)),
        ]
    };
    if routes.seconds & second(target[0]) == 0 {
        return OTHER_ROUTE;
    }
    let mut index = 0;
    while index < ROUTES {
        let Route { prefix, mask, .. } = &routes.routes[index];
        if mask[0] == 0 {
            break;
        }
        let differs = ((target[0] ^ prefix[0]) & mask[0])
            | ((target[1] ^ prefix[1]) & mask[1])
            | ((target[2] ^ prefix[2]) & mask[2]);
        if differs == 0 {
            return index as u32 + 1;
        }
        index = rolled(index + 1);
    }
    OTHER_ROUTE
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
    fn the_first_prefix_that_matches_is_the_route() {
        let prefixes = ["/queue/join", "/queue/", "/gradio_api/queue/join_and_more"];
        let routes = Routes::new(prefixes.map(|prefix| Route::new(prefix.as_bytes(), 0)));
        let of = |line: &str| {
            let [first] = words(line);
            let start = method(first, line.len() as u32);
            assert!(start.is_method(), "{line}");
            route(&routes, words(line), start.length())
        };
        assert_eq!(of("POST /queue/join?a=1 HTTP/1.1"), 1);
        assert_eq!(of("OPTIONS /queue/join HTTP/1.1"), 1);
        assert_eq!(of("GET /queue/data HTTP/1.1"), 2);
        assert_eq!(of("GET /queue HTTP/1.1"), OTHER_ROUTE);
        assert_eq!(of("POST /gradio_api/queue/join_apples HTTP/1.1"), 3, "24 bytes of a prefix count");
        assert_eq!(of("GET / HTTP/1.1"), OTHER_ROUTE);
        assert_eq!(route(&Routes::default(), words("GET / HTTP/1.1"), 4), OTHER_ROUTE);
    }

    #[test]
    fn a_prefix_of_one_byte_matches_every_target() {
        let routes = Routes::new([Route::new(b"/queue/", 0), Route::new(b"/", 0)]);
        let of = |line: &str| route(&routes, words(line), 4);
        assert_eq!((of("GET /queue/data"), of("GET /zoo"), of("GET / HTTP/1.1")), (1, 2, 2));
        assert_eq!(of("GET *"), OTHER_ROUTE);
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
