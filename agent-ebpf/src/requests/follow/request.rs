//! The client's side.

use super::{
    super::{
        connection::{Connection, Opaque, PENDING, STATUS, arrival, found, state},
        first_line::Start,
        piece::PieceKind,
    },
    Next, Observer, Segment, body,
    head::{self, First, Scanned},
    hop, leave, position,
    size::{self, Read},
    start,
};

/// Bytes of a request from which its route can be read, unless its first line is shorter.
const FIRST_LINE_BYTES: u32 = 32;

#[inline(always)]
pub(super) fn step<S: Segment, O: Observer>(c: &mut Connection, segment: &S, observer: &mut O) -> Next {
    let at = position(&c.request, segment);
    let bytes = segment.bytes() as i32;
    if super::is_first_of_body(&mut c.request, at) {
        let length = at as u64 + c.request.left;
        observer.piece(c, PieceKind::RequestBodyStart, 0, segment.bytes(), length);
    }
    if at > bytes || (at == bytes && c.request.state != state::BODY) {
        return Next::Done;
    }
    if c.request.state == state::BODY {
        if c.request.left > 0 {
            hop(&mut c.request);
            return Next::Again;
        }
        complete(c, at, observer);
        return if at < bytes { Next::Again } else { Next::Done };
    }
    if at < 0 {
        return after_gap(c, segment, observer);
    }
    if c.request.state == state::CHUNK {
        chunk(c, segment, at as u32, observer)
    } else {
        lines(c, segment, at as u32, observer)
    }
}

#[inline(always)]
fn complete<O: Observer>(c: &mut Connection, at: i32, observer: &mut O) {
    observer.request_bytes(c.request.bytes);
    if at > 0 {
        observer.piece(c, PieceKind::RequestBodyEnd, 0, at as u32, 0);
    }
    start(&mut c.request);
}

/// A segment that starts after the byte that is expected next. The missing one may still come, unless everything before
/// was answered and a request starts here: then it was seen before, out of order.
#[inline(always)]
fn after_gap<S: Segment, O: Observer>(c: &mut Connection, segment: &S, observer: &mut O) -> Next {
    if c.pushed != c.popped || c.status & STATUS != 0 || segment.bytes() < 8 {
        return Next::Done;
    }
    let [first, ..] = segment.words(0, 8);
    if !observer.method(first, 8).is_method() {
        return Next::Done;
    }
    start(&mut c.request);
    c.request.next = segment.sequence();
    observer.resynchronized();
    Next::Again
}

#[inline(always)]
fn lines<S: Segment, O: Observer>(c: &mut Connection, segment: &S, at: u32, observer: &mut O) -> Next {
    let starts = c.request.state == state::START;
    if starts && c.request.head_bytes == 0 {
        c.pending[c.pushed as usize % PENDING] = observer.now_ns();
    }
    let mut first = First::none();
    let scanned = head::scan(&mut c.request, segment, at, &mut first);
    if matches!(scanned, Scanned::Disturbed) {
        return Next::Again;
    }
    if starts {
        let byte = first.words[0] & 0xff;
        if byte == 0x0d || byte == 0x0a {
            // An empty line before a request is skipped.
            c.request.next = segment.sequence().wrapping_add(at + 1);
            start(&mut c.request);
            return Next::Again;
        }
        let line = observer.request_line(first.words, first.bytes);
        let start = line.start();
        if start == Start::OTHER {
            return leave(c, foreign(first.words), observer);
        }
        let is_whole = matches!(scanned, Scanned::End) || has_line_feed(first.words);
        if start.is_method() && (first.bytes >= FIRST_LINE_BYTES || is_whole) {
            if !arrived(c, start.number(), line.route()) {
                return leave(c, Opaque::Pipelined, observer);
            }
            observer.requested(c.pending[c.pushed.wrapping_sub(1) as usize % PENDING]);
            observer.piece(c, PieceKind::RequestHead, at, segment.bytes() - at, 0);
        }
    }
    match scanned {
        Scanned::Malformed => leave(c, Opaque::Malformed, observer),
        Scanned::Lost => leave(c, Opaque::Unsynchronized, observer),
        Scanned::More | Scanned::Disturbed => Next::Again,
        Scanned::Cut => Next::Done,
        Scanned::End => {
            let end = position(&c.request, segment) as u32;
            let length = c.request.left;
            if c.request.state == state::TRAILER || !body(&mut c.request) {
                complete(c, 0, observer);
            } else if end < segment.bytes() {
                observer.piece(c, PieceKind::RequestBodyStart, end, segment.bytes() - end, length);
            } else {
                c.request.found |= found::FIRST;
            }
            super::after(&c.request, segment)
        }
    }
}

/// Adds a request to those that wait for a response. False if there are too many.
#[inline(always)]
fn arrived(c: &mut Connection, method: u32, route: u32) -> bool {
    if c.pushed.wrapping_sub(c.popped) >= PENDING as u32 {
        return false;
    }
    let index = c.pushed as usize % PENDING;
    c.pending[index] = arrival(c.pending[index], method, route);
    c.pushed = c.pushed.wrapping_add(1);
    c.request.state = state::HEAD;
    true
}

/// Why the first bytes are no request.
#[inline(always)]
fn foreign(words: [u64; 4]) -> Opaque {
    if words[0] & 0xffff == 0x0316 {
        Opaque::Tls
    } else if words[0] == u64::from_le_bytes(*b"PRI * HT") {
        Opaque::Http2
    } else {
        Opaque::NotHttp
    }
}

#[inline(always)]
fn has_line_feed(words: [u64; 4]) -> bool {
    words.into_iter().any(super::super::head::has_feed)
}

#[inline(always)]
fn chunk<S: Segment, O: Observer>(c: &mut Connection, segment: &S, at: u32, observer: &mut O) -> Next {
    match size::read(&mut c.request, segment, at) {
        Read::Malformed => leave(c, Opaque::Malformed, observer),
        Read::More | Read::Disturbed | Read::End { .. } => Next::Again,
    }
}
