//! The state of one connection of a watched port, as the kernel programs keep it.

use super::{first_line::Method, head::CARRY_WORDS};

/// Identifies a connection. A socket would not do: the segment that completes a handshake is filtered with the
/// listening socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionKey {
    /// The remote address as in the packet; IPv4 in the first word.
    pub remote: [u32; 4],
    /// The local port in the upper half, the remote port in the lower half.
    pub ports: u32,
    /// All words of the local address, combined by exclusive or.
    pub local: u32,
    /// The container's slot. Containers in different network namespaces may have connections with equal addresses.
    pub slot: u32,
}

/// Maximum number of connections. The kernel removes the least recently used one to make room.
pub const CONNECTIONS: u32 = 16_384;
/// Requests of one connection that can wait for their responses.
pub const PENDING: usize = 8;
/// Longer heads are not followed.
pub const HEAD_MAX_BYTES: u32 = 16_384;

/// States of a message in one direction.
pub mod state {
    /// The first line of the next message has not been read.
    pub const START: u8 = 0;
    /// In the head, after its first line.
    pub const HEAD: u8 = 1;
    /// In a body of known length.
    pub const BODY: u8 = 2;
    /// In the line with the size of a chunk.
    pub const CHUNK: u8 = 3;
    /// After the last chunk.
    pub const TRAILER: u8 = 4;
    /// In a body that ends with the connection.
    pub const UNTIL_CLOSE: u8 = 5;
}

/// What was found in the head of the current message; bits of [`Half::found`].
pub mod found {
    /// A length.
    pub const LENGTH: u8 = 1;
    /// A transfer encoding.
    pub const CHUNKED: u8 = 2;
    /// An interim response, which another one follows.
    pub const INTERIM: u8 = 4;
    /// The response is a stream of events.
    pub const STREAM: u8 = 8;
    /// Nothing of the body has been seen yet.
    pub const FIRST: u8 = 16;
    /// The client has closed its side of the connection. In what the client sends; stays until the end of the connection.
    pub const CLIENT_CLOSED: u8 = 32;
    /// The first segment arrived while the kernel had no socket for the connection: it may complete a handshake, or belong to
    /// a connection that has ended. In what the client sends; until the connection is accepted.
    pub const UNCONFIRMED: u8 = 128;
    /// Bits that stay from one message to the next.
    pub const OF_CONNECTION: u8 = CLIENT_CLOSED | UNCONFIRMED;
    /// A segment was sent again since the last event, so the client may be lost. In what the server sends.
    pub const SENT_AGAIN: u8 = 64;
}

/// One direction of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Half {
    /// In a body: the bytes of it after `next`. In a head: the length found so far. In the line with the size of a
    /// chunk: the state of that line.
    pub left: u64,
    /// Bytes of the message before `next`.
    pub bytes: u64,
    /// The sequence number of the next byte to look at. Segments that end before it are skipped.
    pub next: u32,
    /// Bytes of the head before `next`.
    pub head_bytes: u16,
    /// One of [`state`].
    pub state: u8,
    /// Bits of [`found`].
    pub found: u8,
}

/// Why the requests of a connection are not counted, or no longer.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// Encrypted.
    Tls = 1,
    /// HTTP/2 without encryption.
    Http2 = 2,
    /// The connection was upgraded, for example to a WebSocket, or became a tunnel.
    Upgraded = 3,
    /// Not HTTP.
    NotHttp = 4,
    /// A message that does not follow the rules, or a head that is too long.
    Malformed = 5,
    /// More requests without a response than can be followed.
    Pipelined = 6,
    /// Packets were missed, so that the start of the next message is unknown.
    Unsynchronized = 7,
}

impl Opaque {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Tls,
        Self::Http2,
        Self::Upgraded,
        Self::NotHttp,
        Self::Malformed,
        Self::Pipelined,
        Self::Unsynchronized,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Upgraded => "upgraded",
            Self::NotHttp => "not_http",
            Self::Malformed => "malformed",
            Self::Pipelined => "pipelined",
            Self::Unsynchronized => "unsynchronized",
        }
    }
}

/// [`Connection::mode`] while requests are followed.
pub const FOLLOWED: u32 = 0;
/// [`Connection::mode`] after the end of the connection. Modes in between are numbers of [`Opaque`].
pub const ENDED: u32 = 8;

/// One connection. The ingress program writes the first part, the egress program the second, and both read all of it. The
/// two often run on different CPUs, so members of one part are not mixed with those of the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// When it was first seen, in ns of CLOCK_MONOTONIC. Identifies the connection among those with the same key.
    pub opened_ns: u64,
    /// Requests without a response: [`arrival`]s, indexed by their number modulo [`PENDING`].
    pub pending: [u64; PENDING],
    /// What the client sends.
    pub request: Half,
    /// Number of requests.
    pub pushed: u32,
    /// [`FOLLOWED`], a number of [`Opaque`], or [`ENDED`]. Written by both programs, once.
    pub mode: u32,
    /// The request that is being answered.
    pub current: u64,
    /// Of a response in chunks or until the end of the connection: when the last event was sent, in ns. Of a body of known
    /// length: the sequence number after the last byte that was sent.
    pub latest: u64,
    /// What the server sends.
    pub response: Half,
    /// Number of responses that have begun.
    pub popped: u32,
    /// Status of the response that is being sent, with the time to its first byte ([`answered`](super::answered::answered));
    /// 0 if there is none.
    pub status: u32,
}

/// Bits of a status.
pub const STATUS: u32 = 0x3ff;

impl Connection {
    /// Requests that the server has not answered completely, without streams.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        if !self.is_followed() {
            return 0;
        }
        let answering = self.is_answering() && self.response.found & found::STREAM == 0;
        self.pushed.wrapping_sub(self.popped) + answering as u32
    }

    /// Requests that wait for the server: complete ones whose response has not begun. The others in flight may wait for their
    /// client. None while an earlier response is sent, because a client that does not read that response delays all
    /// that follow. None if the client has closed its side: it may have given up.
    #[must_use]
    pub const fn unanswered(&self) -> u32 {
        let waiting = self.pushed.wrapping_sub(self.popped);
        // The programs may write while the connection is read.
        let is_waiting = self.is_followed() && !self.is_answering() && !self.is_client_closed();
        if !is_waiting || waiting > PENDING as u32 {
            return 0;
        }
        let is_arriving = self.request.state != state::START;
        waiting.saturating_sub(is_arriving as u32)
    }

    /// The [`arrival`] of the oldest request in flight, if there is one.
    #[inline(always)]
    #[must_use]
    pub const fn oldest(&self) -> u64 {
        if self.is_answering() { self.current } else { self.pending[self.popped as usize % PENDING] }
    }

    /// The sequence number up to which the response that is being sent was sent.
    #[inline(always)]
    #[must_use]
    pub const fn sent_until(&self) -> u32 {
        if self.response.state == state::BODY { self.latest as u32 } else { self.response.next }
    }

    /// Bytes of the response that is being sent, if it was sent up to a sequence number.
    #[inline(always)]
    #[must_use]
    pub const fn response_bytes(&self, sent_until: u32) -> u64 {
        let missing = self.response.next.wrapping_sub(sent_until);
        let missing = if missing < 1 << 31 { missing as u64 } else { 0 };
        self.response.bytes.saturating_sub(missing)
    }

    /// Whether requests are counted, and the connection has been accepted as far as is known.
    #[must_use]
    pub const fn is_followed(&self) -> bool {
        self.mode == FOLLOWED && !self.is_unconfirmed()
    }

    /// Whether the connection has not been accepted, as far as is known.
    #[must_use]
    pub const fn is_unconfirmed(&self) -> bool {
        self.request.found & found::UNCONFIRMED != 0
    }

    /// Whether the client has closed its side of the connection.
    #[inline(always)]
    #[must_use]
    pub const fn is_client_closed(&self) -> bool {
        self.request.found & found::CLIENT_CLOSED != 0
    }

    /// Whether a response is being sent.
    #[must_use]
    pub const fn is_answering(&self) -> bool {
        self.status & STATUS != 0
    }

    /// Whether a stream is being sent, and its client seems to receive it.
    #[must_use]
    pub const fn is_stream_received(&self) -> bool {
        self.is_streaming() && !self.is_client_closed() && self.response.found & found::SENT_AGAIN == 0
    }

    /// Whether a stream is being sent.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        self.mode == FOLLOWED && self.is_answering() && self.response.found & found::STREAM != 0
    }
}

const ROUTE_BITS: u32 = 5;
const METHOD_BITS: u32 = 4;
const KIND_BITS: u32 = ROUTE_BITS + METHOD_BITS;

/// The arrival of a request: its time in units of 512 ns, its method and its route, in one word.
#[inline(always)]
#[must_use]
pub const fn arrival(now_ns: u64, method: u32, route: u32) -> u64 {
    (now_ns >> KIND_BITS << KIND_BITS) | ((method as u64) << ROUTE_BITS) | route as u64
}

/// Time since an [`arrival`], in ns.
#[inline(always)]
#[must_use]
pub const fn since(arrival: u64, now_ns: u64) -> u64 {
    let arrived_ns = arrival >> KIND_BITS << KIND_BITS;
    now_ns.saturating_sub(arrived_ns)
}

/// Method and route of an [`arrival`].
#[inline(always)]
#[must_use]
pub const fn kind_of(arrival: u64) -> u32 {
    arrival as u32 & ((1 << KIND_BITS) - 1)
}

/// The number of the method of an [`arrival`].
#[inline(always)]
#[must_use]
pub const fn method_of(arrival: u64) -> u32 {
    (arrival >> ROUTE_BITS) as u32 & (Method::ALL.len() as u32 - 1)
}

/// The number of the route of an [`arrival`].
#[inline(always)]
#[must_use]
pub const fn route_of(arrival: u64) -> u32 {
    arrival as u32 & ((1 << ROUTE_BITS) - 1)
}

/// The end of a head that continues in the next segment: [`CARRY_BYTES`](super::head::CARRY_BYTES) bytes, and room for
/// as many more.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carry {
    /// The bytes in the order of memory.
    pub words: [u64; CARRY_ROOM_WORDS],
}

/// Words of a [`Carry`]: 64 bytes fit after the first ones.
pub const CARRY_ROOM_WORDS: usize = CARRY_WORDS + 8;

const _: () = assert!(size_of::<Carry>() <= size_of::<Connection>() && PENDING.is_power_of_two());
const _: () = assert!(size_of::<ConnectionKey>() == 28 && size_of::<Connection>() == 152);

/// Identifies a [`Carry`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarryKey {
    /// The connection.
    pub connection: ConnectionKey,
    /// 0 for requests, 1 for responses.
    pub direction: u32,
}

/// Maximum number of heads that are cut at the same time; the kernel removes the least recently used one.
pub const CARRIES: u32 = 1024;

// SAFETY: `repr(C)`, words and halves of words without padding (see the sizes above), any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ConnectionKey {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Connection {}
