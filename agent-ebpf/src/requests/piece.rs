//! Pieces of HTTP/1.1 messages, which the kernel programs send through a ring buffer. Only connections with a request
//! to a known path send pieces, and a piece contains only the beginning or the end of a part of a message.

/// Maximum number of bytes in a piece.
pub const PIECE_BYTES: usize = 256;
/// Maximum number of bytes in a piece of kind [`PieceKind::RequestBodyEnd`].
pub const BODY_END_BYTES: usize = 128;

/// Size of the ring buffer, in bytes; a power of two and a multiple of the page size.
pub const PIECES_BYTES: u32 = 1024 * 1024;

/// Pieces of one container per second of uptime, so that one container cannot fill the ring buffer. Pieces that end a response
/// or a connection may be twice as many: without them, a job does not end.
pub const PIECES_PER_S: u64 = 1024;

/// Part of a message that a piece is from.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// The first bytes of a request: request line and headers.
    RequestHead = 1,
    /// The first bytes of a request's body.
    RequestBodyStart = 2,
    /// The last bytes of a request's body; at most [`BODY_END_BYTES`].
    RequestBodyEnd = 3,
    /// The first bytes of a final response: status line and headers. The piece contains the status.
    ResponseHead = 4,
    /// The first bytes of a response's body; of a chunked one, the first bytes of one chunk.
    ResponseBody = 5,
    /// A response is complete. No bytes.
    ResponseEnd = 6,
    /// The connection was closed or reset, or is no longer followed. No bytes.
    ConnectionEnd = 7,
}

impl PieceKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::RequestHead,
        Self::RequestBodyStart,
        Self::RequestBodyEnd,
        Self::ResponseHead,
        Self::ResponseBody,
        Self::ResponseEnd,
        Self::ConnectionEnd,
    ];
}

/// A piece of a message.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// When its packet passed the container's cgroup, in ns of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Number of the connection. Never reused while the agent runs.
    pub connection: u64,
    /// Number of the request on its connection, from 1 on. A response has the number of its request.
    pub request: u32,
    /// The container's slot.
    pub slot: u32,
    /// A [`PieceKind`].
    pub kind: u32,
    /// The known path that the request matched. User space parses the head itself.
    pub route: u32,
    /// Length of the message's body, or of the chunk, as far as it is known.
    pub bytes_total: u64,
    /// Number of valid bytes in `bytes`.
    pub length: u32,
    /// HTTP status; only for [`PieceKind::ResponseHead`].
    pub status: u32,
    /// The bytes, as a peer sent them.
    pub bytes: [u8; PIECE_BYTES],
}

impl Piece {
    /// A piece without content.
    pub const EMPTY: Self = Self {
        at_ns: 0,
        connection: 0,
        request: 0,
        slot: 0,
        kind: 0,
        route: 0,
        bytes_total: 0,
        length: 0,
        status: 0,
        bytes: [0; PIECE_BYTES],
    };

    /// The kind; `None` if it is not a known one.
    #[must_use]
    pub fn kind(&self) -> Option<PieceKind> {
        PieceKind::ALL.into_iter().find(|kind| *kind as u32 == self.kind)
    }

    /// The valid bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length as usize).unwrap_or(&self.bytes)
    }
}

// SAFETY: `repr(C)`, two u64, four u32, a u64, two u32 and bytes in a multiple of 8: no padding, any bit pattern is
// valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Piece {}

const _: () = assert!(size_of::<Piece>() == 3 * 8 + 6 * 4 + PIECE_BYTES);
