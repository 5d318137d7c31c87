//! Follows the messages of a connection from one to the next, by sequence number.
//!
//! A segment matters only if it contains the byte at [`Half::next`]: the start of a message, the rest of a head, or the
//! size of a chunk. Everything else is skipped without reading it, so a body that looks like a request is never taken
//! for one, and a retransmitted segment is never counted twice.
//!
//! The code is the same in the kernel and in the tests: a [`Segment`] provides the bytes, an [`Observer`] receives what
//! was found.

mod head;
mod request;
mod response;
mod size;

use super::{
    clear,
    connection::{Carry, Connection, ENDED, FOLLOWED, Half, Opaque, STATUS, found, since, state},
    first_line::{RequestLine, Start},
    head::{Scan, Window},
    piece::PieceKind,
};

/// The payload of one TCP segment.
pub trait Segment {
    /// Sequence number of the first byte.
    fn sequence(&self) -> u32;
    /// Acknowledged sequence number of the other direction; `None` if there is none, as in some resets.
    fn acknowledged(&self) -> Option<u32>;
    /// Number of bytes.
    fn bytes(&self) -> u32;
    /// The window that this CPU's packets share. A packet that the network stack handles may interrupt one that a
    /// process sends, and use the window.
    #[expect(clippy::mut_from_ref, reason = "an element of a map, as every element is mutable")]
    fn scan(&self) -> Option<&mut Scan>;
    /// [`Scan::head`] on this window.
    fn scan_head(&self, scan: &mut Scan, bytes: u32);
    /// [`Scan::size`] on this window.
    fn scan_size(&self, scan: &mut Scan, bytes: u32);
    /// Copies `bytes` bytes at `offset` into the window, from its first word on or, if `after_carry`, from the word
    /// after a carry on. False if the segment has no such bytes.
    fn load(&self, window: &mut Window, after_carry: bool, offset: u32, bytes: u32) -> bool;
    /// The 24 bytes at `offset`, of which `bytes` are requested. The other ones are 0.
    fn words(&self, offset: u32, bytes: u32) -> [u64; 3];
    /// Copies `bytes` bytes (1 to 40) at `offset` to the byte `position` (0 or 40) of a carry or window.
    fn load_carry<const N: usize>(
        &self,
        words: &mut [u64; N],
        position: u32,
        offset: u32,
        bytes: u32,
    ) -> bool;
    /// The carry of this connection and direction; created, if `create` is set.
    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn carry(&self, create: bool) -> Option<&mut Carry>;
}

/// Receives what was found.
pub trait Observer {
    /// The time in ns.
    fn now_ns(&self) -> u64;
    /// The method at the start of a request; see [`method`](super::first_line::method).
    fn method(&self, first: u64, bytes: u32) -> Start;
    /// The method and the route at the start of a request; see [`request_line`](super::first_line::request_line).
    fn request_line(&self, words: [u64; 4], bytes: u32) -> RequestLine;
    /// A request has arrived; see [`arrival`](super::connection::arrival).
    fn requested(&mut self, arrival: u64);
    /// A final response to the request `current` has begun.
    fn responded(&mut self, current: u64, status: u32, waited_ns: u64);
    /// The response that is being sent, which is no stream, is complete.
    fn completed(&mut self, connection: &Connection, duration_ns: u64);
    /// A stream is complete.
    fn stream_completed(&mut self, duration_ns: u64);
    /// The first event of a stream, this long after the request.
    fn first_event(&mut self, waited_ns: u64);
    /// A further event of a stream, this long after the one before.
    fn event(&mut self, gap_ns: u64);
    /// A request is complete.
    fn request_bytes(&mut self, bytes: u64);
    /// A response is complete or was aborted.
    fn response_bytes(&mut self, bytes: u64);
    /// The connection ended before these requests were answered completely.
    fn aborted(&mut self, connection: &Connection, requests: u32, by_client: bool);
    /// The client has closed its side. The server may still answer.
    fn client_left(&mut self, connection: &Connection);
    /// The connection is no longer followed.
    fn opaque(&mut self, reason: Opaque);
    /// The start of a request was found again after a gap.
    fn resynchronized(&mut self);
    /// A piece of a message: `bytes` bytes at `offset` of the segment; the end of a body ends there. `total_bytes` is the
    /// length of the body or chunk, or 0 if it is unknown.
    fn piece(&mut self, connection: &Connection, kind: PieceKind, offset: u32, bytes: u32, total_bytes: u64);
}

/// What to do after one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The segment contains nothing more.
    Done,
    /// The segment may contain more.
    Again,
}

/// Follows the client's side by one step.
#[inline(always)]
pub fn request<S: Segment, O: Observer>(connection: &mut Connection, segment: &S, observer: &mut O) -> Next {
    if connection.mode != FOLLOWED {
        return Next::Done;
    }
    request::step(connection, segment, observer)
}

/// Follows the server's side by one step.
#[inline(always)]
pub fn response<S: Segment, O: Observer>(connection: &mut Connection, segment: &S, observer: &mut O) -> Next {
    if connection.mode != FOLLOWED {
        return Next::Done;
    }
    response::step(connection, segment, observer)
}

/// Stops following a connection.
#[inline(always)]
pub fn leave<O: Observer>(connection: &mut Connection, reason: Opaque, observer: &mut O) -> Next {
    connection.mode = reason as u32;
    observer.opaque(reason);
    Next::Done
}

/// Flags of a TCP segment that end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// FIN.
    pub fin: bool,
    /// RST.
    pub reset: bool,
    /// RST that the kernel sends because the client is lost, not because the container has closed the socket.
    pub is_client_lost: bool,
}

/// The client has closed its side, or reset the connection. Called after the segment's payload was followed.
#[inline(always)]
pub fn client_closed<S: Segment, O: Observer>(
    connection: &mut Connection,
    closing: Closing,
    segment: &S,
    observer: &mut O,
) {
    if connection.mode != FOLLOWED {
        return;
    }
    if closing.fin || closing.reset {
        complete_request(connection, segment.sequence().wrapping_add(segment.bytes()), observer);
    }
    if closing.reset {
        end(connection, true, segment.acknowledged(), observer);
    } else if closing.fin {
        if !connection.is_client_closed() {
            observer.client_left(connection);
        }
        connection.request.found |= found::CLIENT_CLOSED;
    }
}

/// The server has closed its side, or reset the connection. Called after the segment's payload was followed.
#[inline(always)]
pub fn server_closed<S: Segment, O: Observer>(
    connection: &mut Connection,
    closing: Closing,
    segment: &S,
    observer: &mut O,
) {
    if connection.mode != FOLLOWED || !(closing.fin || closing.reset) {
        return;
    }
    if closing.fin && connection.status & STATUS != 0 && connection.response.state == state::UNTIL_CLOSE {
        response::complete(connection, observer);
    }
    if let Some(received) = segment.acknowledged() {
        complete_request(connection, received, observer);
    }
    let by_client = connection.is_client_closed() || closing.is_client_lost;
    end(connection, by_client, Some(segment.sequence().wrapping_add(segment.bytes())), observer);
}

/// The socket of the connection was closed, after it had sent up to the sequence number `sent`. Most connections have ended by
/// then. If not, either the kernel has given up because the client is lost, without sending anything, or the container has
/// closed the socket, and the reset follows.
#[inline(always)]
pub fn socket_closed<O: Observer>(
    connection: &mut Connection,
    is_client_lost: bool,
    sent: u32,
    observer: &mut O,
) {
    if connection.mode == FOLLOWED {
        let by_client = connection.is_client_closed() || is_client_lost;
        end(connection, by_client, Some(sent), observer);
    } else if connection.mode != ENDED {
        observer.piece(connection, PieceKind::ConnectionEnd, 0, 0, 0);
    }
}

/// Counts a request whose last segment arrived before its head. Without this, it would count when the next request
/// arrives. `sent` is the sequence number up to which the client has sent.
#[inline(always)]
fn complete_request<O: Observer>(connection: &mut Connection, sent: u32, observer: &mut O) {
    let Half { state, left, next, bytes, .. } = connection.request;
    if state == state::BODY && left == 0 && sent.wrapping_sub(next) < 1 << 31 {
        observer.request_bytes(bytes);
        start(&mut connection.request);
    }
}

/// `sent` is the sequence number up to which the server has sent, if this segment shows it.
#[inline(always)]
fn end<O: Observer>(connection: &mut Connection, by_client: bool, sent: Option<u32>, observer: &mut O) {
    let answering = connection.status & STATUS != 0;
    let mut requests = connection.pushed.wrapping_sub(connection.popped) + u32::from(answering);
    if by_client && connection.is_streaming() {
        // A stream lasts until the client no longer needs it.
        observer.stream_completed(since(connection.current, observer.now_ns()));
        requests -= 1;
    }
    if answering {
        observer.response_bytes(connection.response_bytes(sent.unwrap_or(connection.sent_until())));
    }
    if requests > 0 {
        observer.aborted(connection, requests, by_client);
    }
    observer.piece(connection, PieceKind::ConnectionEnd, 0, 0, 0);
    connection.mode = ENDED;
}

/// Bytes of a body that are skipped at once: sequence numbers compare correctly within 2^31.
const HOP_BYTES: u64 = 1 << 30;

/// Skips as much of the body as possible.
#[inline(always)]
fn hop(half: &mut Half) {
    let hop = if half.left < HOP_BYTES { half.left } else { HOP_BYTES };
    half.left -= hop;
    half.bytes += hop;
    half.next = half.next.wrapping_add(hop as u32);
}

/// Goes to the start of the next message.
#[inline(always)]
fn start(half: &mut Half) {
    clear(&mut half.left);
    clear(&mut half.bytes);
    half.head_bytes = 0;
    half.state = state::START;
    half.found &= found::OF_CONNECTION;
}

/// The position of [`Half::next`] in a segment. Negative if the segment starts after it.
#[inline(always)]
fn position<S: Segment>(half: &Half, segment: &S) -> i32 {
    half.next.wrapping_sub(segment.sequence()) as i32
}

/// Whether a segment is the first one with bytes of a body of known length. `at` is the position of the end of the body,
/// or of the part that is skipped at once.
#[inline(always)]
fn is_first_of_body(half: &mut Half, at: i32) -> bool {
    if half.state != state::BODY || half.found & found::FIRST == 0 || at <= 0 {
        return false;
    }
    half.found &= !found::FIRST;
    true
}

/// Whether the segment contains more after a message or a part of it.
#[inline(always)]
fn after<S: Segment>(half: &Half, segment: &S) -> Next {
    let (at, bytes) = (position(half, segment), segment.bytes() as i32);
    if at < bytes || (at == bytes && half.state == state::BODY) { Next::Again } else { Next::Done }
}

/// Goes from the end of a head to the start of the body, according to what was found in the head. False if there is no
/// body.
#[inline(always)]
fn body(half: &mut Half) -> bool {
    if half.found & found::CHUNKED != 0 {
        half.left = 0;
        half.state = state::CHUNK;
        true
    } else if half.found & found::LENGTH != 0 && half.left > 0 {
        half.state = state::BODY;
        hop(half);
        true
    } else {
        false
    }
}

#[cfg(test)]
mod tests;
