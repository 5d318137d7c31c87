//! The watched ports of a container, and what is counted for it.

use super::{
    connection::Opaque,
    first_line::Method,
    route::{ROUTES, Routes},
};
use crate::{
    counters::{PerSlot, counters},
    histogram::Histogram,
};

/// What user space decides once for all containers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestSettings {
    /// Not 0 if every port is watched on which a container listens; else only user space adds ports.
    pub all_ports: u64,
    /// The routes.
    pub routes: Routes,
}

/// Maximum number of watched ports of a container.
pub const PORTS: usize = 16;

/// The ports of a container whose requests are counted. The kernel adds a port when the container begins to listen on
/// it. User space removes ports, and adds those of containers that are older than the agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Four ports in each word, in any order. A port of 0 is none.
    pub ports: [u64; PORTS / 4],
}

impl PerSlot for Service {
    const EMPTY: Self = Self { ports: [0; PORTS / 4] };
}

const PORT: u64 = 0x0001_0001_0001_0001;
const TOP: u64 = PORT << 15;

impl Service {
    /// A service with these ports; the first [`PORTS`] count.
    #[must_use]
    pub fn new(ports: &[u16]) -> Self {
        let mut service = Self::EMPTY;
        for (index, port) in ports.iter().take(PORTS).enumerate() {
            service.ports[index / 4] |= u64::from(*port) << (16 * (index % 4));
        }
        service
    }

    /// The watched ports.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        let lanes = |word: u64| [0, 16, 32, 48].map(|shift| (word >> shift) as u16);
        self.ports.into_iter().flat_map(lanes).filter(|port| *port != 0)
    }

    /// Whether a port is watched. Compares four ports at once. `port` is not 0.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, port: u16) -> bool {
        let wanted = PORT * port as u64;
        let [a, b, c, d] = self.ports;
        (zero(a ^ wanted) | zero(b ^ wanted) | zero(c ^ wanted) | zero(d ^ wanted)) != 0
    }
}

/// Not 0 if one of the four parts is 0.
#[inline(always)]
const fn zero(word: u64) -> u64 {
    word.wrapping_sub(PORT) & !word & TOP
}

/// Classes of status codes: 1xx to 5xx. Others are counted with 5xx.
pub const CLASSES: usize = 5;
/// Number of combinations of method, class and route.
pub const RESPONSES: usize = Method::ALL.len() * CLASSES * (ROUTES + 1);

/// The index of a combination in [`RequestCounters::responses`].
#[inline(always)]
#[must_use]
pub const fn response_index(method: u32, status: u32, route: u32) -> usize {
    let class = status / 100;
    let class = if class == 0 || class > CLASSES as u32 { CLASSES as u32 - 1 } else { class - 1 };
    let method = if method < Method::ALL.len() as u32 { method } else { 0 };
    let route = if route <= ROUTES as u32 { route } else { 0 };
    ((method * CLASSES as u32 + class) * (ROUTES as u32 + 1) + route) as usize
}

/// Durations that are counted, as indices of [`RequestCounters::durations`].
pub mod duration {
    /// From the arrival of a request to the first byte of its response.
    pub const FIRST_BYTE: usize = 0;
    /// From the arrival of a request to the last byte of its response; without streams.
    pub const RESPONSE: usize = 1;
    /// From the arrival of a request to the first event of its stream.
    pub const FIRST_EVENT: usize = 2;
    /// Between two events of a stream.
    pub const EVENT_GAP: usize = 3;
    /// From the arrival of a request to the end of its stream.
    pub const STREAM: usize = 4;
    /// The number of durations.
    pub const COUNT: usize = 5;
}

counters! {
    /// Requests that one container serves, since its slot was cleared.
    pub struct RequestCounters {
        /// Responses that have begun, by [`response_index`].
        pub responses: [u64; RESPONSES],
        /// Everything else.
        pub measures: RequestMeasures,
        /// Retries, by the number of their route.
        pub retries: [u64; ROUTES + 1],
    }

    /// Measures of the requests that one container serves.
    pub struct RequestMeasures {
        /// Bytes of responses, with their heads.
        pub response_bytes: u64,
        /// Durations, by [`duration`](mod@duration).
        pub durations: [Histogram; duration::COUNT],
        /// Requests whose client went away before the response was complete.
        pub aborted_by_client: u64,
        /// Requests whose connection the server closed before the response was complete.
        pub aborted_by_server: u64,
        /// Connections that are not followed, by [`Opaque`] minus 1.
        pub opaque: [u64; Opaque::ALL.len()],
        /// Times at which the start of a request was found again after a gap.
        pub resynchronized: u64,
        /// Bytes of complete requests, with their heads. The ingress program writes it for every request, often on
        /// another CPU than the egress program, so it is in another cache line.
        pub request_bytes: u64,
    }
}

// SAFETY: `repr(C)`, u64 members only, no padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Service {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for RequestSettings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_watched_if_it_is_in_the_list() {
        let ports = [80, 443, 7860, 8080, 65535, 1, 256, 32768];
        let service = Service::new(&ports);
        for port in 1..=u16::MAX {
            assert_eq!(service.has(port), ports.contains(&port), "{port}");
        }
        assert!(!Service::EMPTY.has(80));
    }

    #[test]
    fn every_combination_has_its_own_count() {
        let mut seen = [false; RESPONSES];
        for method in 0..8 {
            for status in [101, 200, 301, 404, 500] {
                for route in 0..=16 {
                    let index = response_index(method, status, route);
                    assert!(!core::mem::replace(&mut seen[index], true));
                }
            }
        }
        assert!(seen.into_iter().all(|seen| seen));
        assert_eq!(response_index(99, 999, 99), response_index(0, 500, 0));
    }
}
