//! A wire between a client and a server, cut into segments in any way, and what the observer makes of it.

extern crate std;
use std::{boxed::Box, cell::RefCell, collections::VecDeque, format, string::String, vec, vec::Vec};

use super::*;
use crate::requests::{
    connection::{method_of, route_of},
    first_line::{Method, method, request_line},
    route::{Route, Routes},
};

mod awkward;
mod random;
mod unanswered;

/// What was observed.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    responses: Vec<(Method, u32)>,
    routes: Vec<u32>,
    completed: u32,
    streams: u32,
    first_events: u32,
    events: u32,
    request_bytes: Vec<u64>,
    response_bytes: u64,
    aborted: Vec<(u32, bool)>,
    opaque: Vec<Opaque>,
    resynchronized: u32,
    parts: Vec<(PieceKind, String)>,
}

struct Watching {
    seen: Seen,
    now_ns: u64,
    routes: Routes,
    payload: Vec<u8>,
}

impl Observer for Watching {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }
    fn method(&self, first: u64, bytes: u32) -> Start {
        method(first, bytes)
    }
    fn request_line(&self, words: [u64; 4], bytes: u32) -> RequestLine {
        request_line(&self.routes, words, bytes)
    }
    fn requested(&mut self, _: u64) {}
    fn responded(&mut self, current: u64, status: u32, _: u64) {
        self.seen.responses.push((Method::ALL[method_of(current) as usize], status));
        self.seen.routes.push(route_of(current));
    }
    fn completed(&mut self, _: &Connection, _: u64) {
        self.seen.completed += 1;
    }
    fn stream_completed(&mut self, _: u64) {
        self.seen.streams += 1;
    }
    fn first_event(&mut self, _: u64) {
        self.seen.first_events += 1;
    }
    fn event(&mut self, _: u64) {
        self.seen.events += 1;
    }
    fn request_bytes(&mut self, bytes: u64) {
        self.seen.request_bytes.push(bytes);
    }
    fn response_bytes(&mut self, bytes: u64) {
        self.seen.response_bytes += bytes;
    }
    fn aborted(&mut self, _: &Connection, requests: u32, by_client: bool) {
        self.seen.aborted.push((requests, by_client));
    }
    fn client_left(&mut self, _: &Connection) {}
    fn opaque(&mut self, reason: Opaque) {
        self.seen.opaque.push(reason);
    }
    fn resynchronized(&mut self) {
        self.seen.resynchronized += 1;
    }
    fn piece(&mut self, _: &Connection, kind: PieceKind, offset: u32, bytes: u32, _: u64) {
        let (from, to) = match kind {
            PieceKind::RequestBodyEnd => (bytes.saturating_sub(128) as usize, bytes as usize),
            _ => (offset as usize, (offset + bytes.min(256)) as usize),
        };
        self.seen.parts.push((kind, String::from_utf8_lossy(&self.payload[from..to]).into_owned()));
    }
}

struct Bytes<'a> {
    sequence: u32,
    acknowledged: Option<u32>,
    payload: &'a [u8],
    carry: &'a RefCell<Option<Box<Carry>>>,
    scan: &'a RefCell<Box<Scan>>,
}

impl Bytes<'_> {
    fn copy(&self, words: &mut [u64], offset: u32, bytes: u32) -> bool {
        let Some(from) = self.payload.get(offset as usize..(offset + bytes) as usize) else { return false };
        for (index, byte) in from.iter().enumerate() {
            // Bytes after the loaded ones keep whatever was there.
            let (word, shift) = (&mut words[index / 8], 8 * (index % 8));
            *word = *word & !(0xff << shift) | u64::from(*byte) << shift;
        }
        true
    }
}

/// The value of a cell, as a kernel program gets an element of a map.
fn element<T>(cell: &mut Box<T>) -> &'static mut T {
    let element: *mut T = &raw mut **cell;
    // SAFETY: the box lives as long as the test, and each step uses an element in one place at a time.
    unsafe { &mut *element }
}

impl Segment for Bytes<'_> {
    fn sequence(&self) -> u32 {
        self.sequence
    }
    fn acknowledged(&self) -> Option<u32> {
        self.acknowledged
    }
    fn bytes(&self) -> u32 {
        self.payload.len() as u32
    }
    fn scan(&self) -> Option<&mut Scan> {
        Some(element(&mut self.scan.borrow_mut()))
    }
    fn scan_head(&self, scan: &mut Scan, bytes: u32) {
        scan.head(bytes);
    }
    fn scan_size(&self, scan: &mut Scan, bytes: u32) {
        scan.size(bytes);
    }
    fn load(&self, window: &mut Window, after_carry: bool, offset: u32, bytes: u32) -> bool {
        assert!((1..=256).contains(&bytes), "the kernel rejects empty loads");
        let first = if after_carry { 5 } else { 0 };
        self.copy(&mut window[first..], offset, bytes)
    }
    fn words(&self, offset: u32, bytes: u32) -> [u64; 3] {
        assert!(bytes > 0 && bytes <= 24);
        let mut words = [0; 3];
        assert!(self.copy(&mut words, offset, bytes));
        words
    }
    fn load_carry<const N: usize>(
        &self,
        words: &mut [u64; N],
        position: u32,
        offset: u32,
        bytes: u32,
    ) -> bool {
        assert!((1..=40).contains(&bytes));
        self.copy(&mut words[position as usize / 8..], offset, bytes)
    }
    fn carry(&self, create: bool) -> Option<&mut Carry> {
        let mut carry = self.carry.borrow_mut();
        if carry.is_none() && create {
            *carry = Some(Box::default());
        }
        carry.as_mut().map(element)
    }
}

/// What an earlier packet has left in the window must not matter.
fn dirty() -> Scan {
    let mut scan = Scan::EMPTY;
    scan.window.fill(u64::from_le_bytes(*b"\n\r\n\nGET "));
    scan
}

/// One connection.
struct Wire {
    connection: Connection,
    carries: [RefCell<Option<Box<Carry>>>; 2],
    scan: RefCell<Box<Scan>>,
    next: [u32; 2],
    observer: Watching,
    /// Lengths of the segments; the last one is repeated.
    cuts: VecDeque<usize>,
    /// Whether segments have an acknowledgment.
    acknowledges: bool,
}

impl Wire {
    fn new() -> Self {
        // Close to the end of the sequence numbers, so that they wrap around.
        let next = [u32::MAX - 100, u32::MAX - 300];
        let mut connection = Connection::default();
        connection.request.next = next[0];
        connection.response.next = next[1];
        let routes = Routes::new([Route::new(b"/queue/join", Route::JOBS)]);
        Self {
            connection,
            carries: [RefCell::new(None), RefCell::new(None)],
            // What an earlier packet has left in it must not matter.
            scan: RefCell::new(Box::new(dirty())),
            next,
            observer: Watching { seen: Seen::default(), now_ns: 1_000_000, routes, payload: vec![] },
            cuts: VecDeque::from([usize::MAX]),
            acknowledges: true,
        }
    }

    fn cut(mut self, cuts: &[usize]) -> Self {
        self.cuts = cuts.iter().copied().collect();
        self
    }

    fn deliver(&mut self, by_client: bool, sequence: u32, payload: &[u8]) {
        let direction = usize::from(!by_client);
        let segment = Bytes {
            sequence,
            acknowledged: self.acknowledges.then_some(self.next[1 - direction]),
            payload,
            carry: &self.carries[direction],
            scan: &self.scan,
        };
        self.observer.payload = payload.to_vec();
        self.observer.now_ns += 1000;
        let mut steps = 0;
        loop {
            let next = if by_client {
                request(&mut self.connection, &segment, &mut self.observer)
            } else {
                response(&mut self.connection, &segment, &mut self.observer)
            };
            if next == Next::Done {
                break;
            }
            steps += 1;
            assert!(steps < 100_000, "no progress");
        }
    }

    fn send(&mut self, by_client: bool, bytes: &[u8]) {
        let direction = usize::from(!by_client);
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = if self.cuts.len() > 1 { self.cuts.pop_front().unwrap() } else { self.cuts[0] };
            let (segment, after) = rest.split_at(cut.clamp(1, rest.len()));
            let sequence = self.next[direction];
            self.next[direction] = sequence.wrapping_add(segment.len() as u32);
            self.deliver(by_client, sequence, segment);
            rest = after;
        }
    }

    fn client(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.send(true, text.as_ref());
        self
    }

    fn server(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.send(false, text.as_ref());
        self
    }

    fn wait(&mut self, ns: u64) -> &mut Self {
        self.observer.now_ns += ns;
        self
    }

    fn close(&mut self, by_client: bool, reset: bool) -> &mut Self {
        let direction = usize::from(!by_client);
        let carry = RefCell::new(None);
        let segment = Bytes {
            sequence: self.next[direction],
            acknowledged: self.acknowledges.then_some(self.next[1 - direction]),
            payload: &[],
            carry: &carry,
            scan: &self.scan,
        };
        self.observer.payload.clear();
        let closing = Closing { fin: !reset, reset, is_client_lost: false };
        if by_client {
            client_closed(&mut self.connection, closing, &segment, &mut self.observer);
        } else {
            server_closed(&mut self.connection, closing, &segment, &mut self.observer);
        }
        self
    }

    fn seen(&self) -> &Seen {
        &self.observer.seen
    }
}
