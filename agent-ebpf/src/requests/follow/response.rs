//! The server's side.

use super::{
    super::{
        answered::answered,
        connection::{Connection, Opaque, PENDING, STATUS, found, method_of, since, state},
        first_line::{Method, STATUS_BYTES, status},
        piece::PieceKind,
    },
    Next, Observer, Segment, body,
    head::{self, First, Scanned},
    hop, leave, position,
    size::{self, Read},
    start,
};

/// A response that is sent in chunks becomes a stream if the server waits this long between two of them.
const STREAM_GAP_NS: u64 = 250_000_000;

#[inline(always)]
pub(super) fn step<S: Segment, O: Observer>(c: &mut Connection, segment: &S, observer: &mut O) -> Next {
    let at = position(&c.response, segment);
    let bytes = segment.bytes() as i32;
    if super::is_first_of_body(&mut c.response, at) {
        let length = at as u64 + c.response.left;
        observer.piece(c, PieceKind::ResponseBody, 0, segment.bytes(), length);
    }
    if at > bytes || (at == bytes && c.response.state != state::BODY) {
        if c.response.state == state::BODY {
            note_sent(c, segment);
        }
        return Next::Done;
    }
    if c.response.state == state::BODY {
        if c.response.left > 0 {
            hop(&mut c.response);
            return Next::Again;
        }
        complete(c, observer);
        return if at < bytes { Next::Again } else { Next::Done };
    }
    if at < 0 {
        // The kernel sends in order, so packets were not seen.
        return leave(c, Opaque::Unsynchronized, observer);
    }
    let at = at as u32;
    match c.response.state {
        state::UNTIL_CLOSE => {
            let sent = segment.bytes() - at;
            c.response.next = c.response.next.wrapping_add(sent);
            c.response.bytes += u64::from(sent);
            if c.response.found & (found::STREAM | found::FIRST) != 0 {
                event(c, observer);
                observer.piece(c, PieceKind::ResponseBody, at, sent, 0);
            }
            Next::Done
        }
        state::CHUNK => chunk(c, segment, at, observer),
        _ => lines(c, segment, at, observer),
    }
}

/// Notes how much of a body of known length was sent. Segments that are sent again change nothing.
#[inline(always)]
fn note_sent<S: Segment>(c: &mut Connection, segment: &S) {
    let end = segment.sequence().wrapping_add(segment.bytes());
    if (end.wrapping_sub(c.latest as u32) as i32) > 0 {
        c.latest = u64::from(end);
    }
}

/// The response is complete.
#[inline(always)]
pub(super) fn complete<O: Observer>(c: &mut Connection, observer: &mut O) {
    let duration_ns = since(c.current, observer.now_ns());
    if c.response.found & found::STREAM == 0 {
        observer.completed(c, duration_ns);
    } else {
        observer.stream_completed(duration_ns);
    }
    observer.response_bytes(c.response.bytes);
    observer.piece(c, PieceKind::ResponseEnd, 0, 0, 0);
    c.status = 0;
    start(&mut c.response);
}

#[inline(always)]
fn lines<S: Segment, O: Observer>(c: &mut Connection, segment: &S, at: u32, observer: &mut O) -> Next {
    let starts = c.response.state == state::START;
    let mut first = First::none();
    let scanned = head::scan(&mut c.response, segment, at, &mut first);
    if matches!(scanned, Scanned::Disturbed) {
        return Next::Again;
    }
    if starts && first.bytes >= STATUS_BYTES {
        let [word0, word1, ..] = first.words;
        let Some(status) = status([word0, word1]) else { return leave(c, Opaque::Malformed, observer) };
        if !begin(c, status, observer) {
            return leave(c, Opaque::Unsynchronized, observer);
        }
        observer.piece(c, PieceKind::ResponseHead, at, segment.bytes() - at, 0);
    }
    match scanned {
        Scanned::Malformed => leave(c, Opaque::Malformed, observer),
        Scanned::Lost => leave(c, Opaque::Unsynchronized, observer),
        Scanned::More | Scanned::Disturbed => Next::Again,
        Scanned::Cut => Next::Done,
        Scanned::End => {
            if c.response.state == state::TRAILER {
                complete(c, observer);
            } else {
                return after_head(c, segment, observer);
            }
            Next::Again
        }
    }
}

/// A response begins. False if no request waits for one.
#[inline(always)]
fn begin<O: Observer>(c: &mut Connection, status: u32, observer: &mut O) -> bool {
    c.response.state = state::HEAD;
    if status < 200 && status != 101 {
        c.response.found |= found::INTERIM;
        return true;
    }
    if c.pushed == c.popped {
        return false;
    }
    c.current = c.pending[c.popped as usize % PENDING];
    c.popped = c.popped.wrapping_add(1);
    let waited_ns = since(c.current, observer.now_ns());
    c.status = answered(status, waited_ns);
    observer.responded(c.current, status, waited_ns);
    true
}

#[inline(always)]
fn after_head<S: Segment, O: Observer>(c: &mut Connection, segment: &S, observer: &mut O) -> Next {
    if c.response.found & found::INTERIM != 0 {
        observer.response_bytes(c.response.bytes);
        start(&mut c.response);
        return Next::Again;
    }
    let status = c.status & STATUS;
    let method = method_of(c.current);
    if status == 101 || (method == Method::Connect as u32 && status < 300) {
        observer.response_bytes(c.response.bytes);
        return leave(c, Opaque::Upgraded, observer);
    }
    if method == Method::Head as u32 || status == 204 || status == 304 {
        c.response.found &= !found::STREAM;
        complete(c, observer);
        return Next::Again;
    }
    let has_length = c.response.found & found::LENGTH != 0 && c.response.found & found::CHUNKED == 0;
    if has_length {
        c.response.found &= !found::STREAM;
    }
    c.response.found |= found::FIRST;
    let end = position(&c.response, segment) as u32;
    let length = c.response.left;
    if !body(&mut c.response) {
        if has_length {
            complete(c, observer);
        } else {
            c.response.state = state::UNTIL_CLOSE;
        }
    } else if has_length && end < segment.bytes() {
        c.response.found &= !found::FIRST;
        observer.piece(c, PieceKind::ResponseBody, end, segment.bytes() - end, length);
    }
    if c.response.state == state::BODY
        && c.response.left == 0
        && position(&c.response, segment) <= segment.bytes() as i32
    {
        complete(c, observer);
    } else if c.response.state == state::BODY {
        c.latest = u64::from(segment.sequence().wrapping_add(segment.bytes()));
    }
    super::after(&c.response, segment)
}

#[inline(always)]
fn chunk<S: Segment, O: Observer>(c: &mut Connection, segment: &S, at: u32, observer: &mut O) -> Next {
    match size::read(&mut c.response, segment, at) {
        Read::Malformed => leave(c, Opaque::Malformed, observer),
        Read::More | Read::Disturbed | Read::End { bytes: 0, .. } => Next::Again,
        Read::End { bytes, at, first } => {
            // A comment keeps a stream of events alive and is no event.
            if first != b':' {
                event(c, observer);
            }
            if at < segment.bytes() {
                let here = bytes.min(segment.bytes() - at);
                observer.piece(c, PieceKind::ResponseBody, at, here, bytes.into());
            }
            Next::Again
        }
    }
}

/// A chunk begins.
#[inline(always)]
fn event<O: Observer>(c: &mut Connection, observer: &mut O) {
    let now_ns = observer.now_ns();
    let is_first = c.response.found & found::FIRST != 0;
    let gap_ns = now_ns.saturating_sub(c.latest);
    c.response.found &= !(found::FIRST | found::SENT_AGAIN);
    c.latest = now_ns;
    if !is_first && gap_ns >= STREAM_GAP_NS {
        c.response.found |= found::STREAM;
    }
    if c.response.found & found::STREAM != 0 {
        if is_first {
            observer.first_event(since(c.current, now_ns));
        } else {
            observer.event(gap_ns);
        }
    }
}
