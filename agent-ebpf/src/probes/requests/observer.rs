//! Counts what is found.

use core::cell::Cell;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use glassbox_ebpf::{
    histogram::{self, Histogram},
    requests::{
        connection::{Connection, Opaque, PENDING, STATUS, method_of, route_of, since},
        first_line::{RequestLine, Start, method, request_line},
        follow::Observer,
        piece::PieceKind,
        retries::is_failure,
        rolled,
        route::OTHER_ROUTE,
        service::{RESPONSES, RequestCounters, duration, response_index},
        slow::End,
    },
};

use super::{REQUEST_SETTINGS, REQUESTS, pieces::Place, slow::record_if_slow, source::Source};
use crate::read::add;

#[inline(always)]
pub(super) fn now_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// The counters of one container, and what shows the connection.
pub(super) struct Counting<S> {
    pub(super) source: S,
    pub(super) slot: u32,
    /// The time of the packet; 0 until it is needed.
    now_ns: Cell<u64>,
    counters: *mut RequestCounters,
}

impl<S: Source> Counting<S> {
    /// `now_ns` is 0 if unknown.
    #[inline(always)]
    pub(super) fn of(slot: u32, source: S, now_ns: u64) -> Option<Self> {
        Some(Self { source, slot, now_ns: Cell::new(now_ns), counters: REQUESTS.get_ptr_mut(slot)? })
    }
}

/// Adds to a member of the counters.
macro_rules! count {
    ($self:ident, $member:ident, $amount:expr) => {
        // SAFETY: a member of a map element, aligned.
        unsafe { add(&raw mut (*$self.counters).measures.$member, $amount) }
    };
}

/// Adds a duration to one of the histograms of a container. As a global function with numbers as arguments, it is
/// verified once (5.6), not once for each state in which it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn requests_record(slot: u32, kind: u32, duration_ns: u64) -> u32 {
    let Some(counters) = REQUESTS.get_ptr_mut(slot) else { return 0 };
    let bucket = histogram::bucket(duration_ns);
    let (kind, bucket) = (rolled(kind as usize), rolled(bucket));
    if kind >= duration::COUNT || bucket >= histogram::BUCKETS {
        return 0;
    }
    // SAFETY: members of a map element, aligned, and both indices are within their arrays.
    unsafe {
        let histogram = (&raw mut (*counters).measures.durations).cast::<Histogram>().add(kind);
        add(&raw mut (*histogram).sum_ns, duration_ns);
        add((&raw mut (*histogram).buckets).cast::<u64>().add(bucket), 1);
    }
    1
}

/// The method and the route of a request, from its first words and its length. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn requests_line(a: u64, b: u64, c: u64, d: u64, bytes: u32) -> u32 {
    match REQUEST_SETTINGS.get(0) {
        Some(settings) => request_line(&settings.routes, [a, b, c, d], bytes).0,
        None => Start::OTHER.0,
    }
}

/// The method at the start of a request. A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn requests_method(first: u64, bytes: u32) -> u32 {
    method(first, bytes).0
}

/// Rare events. Not inlined, because the programs have little room on the stack.
impl<S: Source> Counting<S> {
    /// The connection ended before its oldest request was answered.
    #[inline(never)]
    fn ended_early(&self, connection: &Connection, by_client: bool) {
        if connection.is_streaming() {
            return;
        }
        let oldest = connection.oldest();
        let end = if by_client { End::ClosedByClient } else { End::ClosedByServer };
        record_if_slow(self.slot, oldest, connection.status, since(oldest, self.now_ns()), end);
        // A client that has only closed its side has given up then.
        if !connection.is_client_closed() {
            self.failed(oldest);
        }
    }

    /// The client has closed its side.
    #[inline(never)]
    fn given_up(&self, connection: &Connection) {
        if connection.in_flight() > 0 {
            self.failed(connection.oldest());
        }
    }
}

impl<S: Source> Observer for Counting<S> {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        let known = self.now_ns.get();
        if known != 0 {
            return known;
        }
        let now = now_ns();
        self.now_ns.set(now);
        now
    }

    #[inline(always)]
    fn method(&self, first: u64, bytes: u32) -> Start {
        Start(requests_method(first, bytes))
    }

    #[inline(always)]
    fn request_line(&self, words: [u64; 4], bytes: u32) -> RequestLine {
        let [a, b, c, d] = words;
        RequestLine(requests_line(a, b, c, d, bytes))
    }

    #[inline(always)]
    fn requested(&mut self, arrival: u64) {
        self.count_if_retry(arrival);
    }

    #[inline(always)]
    fn responded(&mut self, current: u64, status: u32, waited_ns: u64) {
        // The verifier does not know the result, and the compiler knows it too well.
        let index = rolled(response_index(method_of(current), status & STATUS, route_of(current)));
        if index < RESPONSES {
            // SAFETY: a member of a map element, aligned.
            unsafe { add((&raw mut (*self.counters).responses).cast::<u64>().add(index), 1) };
        }
        requests_record(self.slot, duration::FIRST_BYTE as u32, waited_ns);
        if is_failure(status) {
            self.failed(current);
        }
    }

    #[inline(always)]
    fn completed(&mut self, connection: &Connection, duration_ns: u64) {
        requests_record(self.slot, duration::RESPONSE as u32, duration_ns);
        record_if_slow(self.slot, connection.current, connection.status, duration_ns, End::Complete);
    }

    #[inline(always)]
    fn stream_completed(&mut self, duration_ns: u64) {
        requests_record(self.slot, duration::STREAM as u32, duration_ns);
    }

    #[inline(always)]
    fn first_event(&mut self, waited_ns: u64) {
        requests_record(self.slot, duration::FIRST_EVENT as u32, waited_ns);
    }

    #[inline(always)]
    fn event(&mut self, gap_ns: u64) {
        requests_record(self.slot, duration::EVENT_GAP as u32, gap_ns);
    }

    #[inline(always)]
    fn request_bytes(&mut self, bytes: u64) {
        count!(self, request_bytes, bytes);
    }

    #[inline(always)]
    fn response_bytes(&mut self, bytes: u64) {
        count!(self, response_bytes, bytes);
    }

    #[inline(always)]
    fn aborted(&mut self, connection: &Connection, requests: u32, by_client: bool) {
        if by_client {
            count!(self, aborted_by_client, u64::from(requests));
        } else {
            count!(self, aborted_by_server, u64::from(requests));
        }
        self.ended_early(connection, by_client);
    }

    #[inline(always)]
    fn client_left(&mut self, connection: &Connection) {
        self.given_up(connection);
    }

    #[inline(always)]
    fn opaque(&mut self, reason: Opaque) {
        // SAFETY: a member of a map element, aligned; reasons are numbered from 1.
        unsafe { add((&raw mut (*self.counters).measures.opaque).cast::<u64>().add(reason as usize - 1), 1) };
    }

    #[inline(always)]
    fn resynchronized(&mut self) {
        count!(self, resynchronized, 1);
    }

    #[inline(always)]
    fn piece(&mut self, connection: &Connection, kind: PieceKind, offset: u32, bytes: u32, total_bytes: u64) {
        let (current, number) = match kind {
            PieceKind::RequestHead | PieceKind::RequestBodyStart | PieceKind::RequestBodyEnd => {
                let last = connection.pushed.wrapping_sub(1) as usize % PENDING;
                (connection.pending[last], connection.pushed)
            }
            _ => (connection.current, connection.popped),
        };
        let route = route_of(current);
        if route != OTHER_ROUTE {
            if matches!(kind, PieceKind::RequestBodyStart) {
                self.send_upload(route, offset, bytes);
            }
            self.send(connection, &Place { kind: kind as u32, route, number, offset, bytes, total_bytes });
        }
    }
}
