//! Routes: prefixes of the targets of requests, by which requests are counted apart.

use super::rolled;

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

/// The number of a request's route. The request starts with `words`; `skipped` is the length of the method with its space.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::first_line::request_line;

    fn words(text: &str) -> [u64; 4] {
        let mut words = [0; 4];
        for (index, byte) in text.bytes().take(32).enumerate() {
            words[index / 8] |= u64::from(byte) << (8 * (index % 8));
        }
        words
    }

    #[test]
    fn the_first_prefix_that_matches_is_the_route() {
        let prefixes = ["/queue/join", "/queue/", "/gradio_api/queue/join_and_more"];
        let routes = Routes::new(prefixes.map(|prefix| Route::new(prefix.as_bytes(), 0)));
        let of = |line: &str| {
            let line = request_line(&routes, words(line), line.len() as u32);
            assert!(line.start().is_method());
            line.route()
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
}
