//! Requests that took long. If the log of slow requests is on, the kernel programs send a record of each through a ring
//! buffer. Streams of events are not among them.

/// How a request ended.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its response is complete.
    Complete = 0,
    /// The client closed the connection first.
    ClosedByClient = 1,
    /// The server closed the connection before the response was complete.
    ClosedByServer = 2,
}

impl End {
    /// All ends, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Complete, Self::ClosedByClient, Self::ClosedByServer];
}

/// A request that took long.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowRequest {
    /// Its [`arrival`](super::connection::arrival), with method and route.
    pub arrival: u64,
    /// When it ended, in ns of CLOCK_MONOTONIC.
    pub ended_ns: u64,
    /// The container's slot.
    pub slot: u32,
    /// Status and time to the first byte; see [`Connection::status`](super::connection::Connection::status). 0 if no
    /// response has begun.
    pub status: u32,
    /// Number of an [`End`].
    pub end: u32,
    /// 0.
    pub reserved: u32,
}

/// Size of the ring buffer, in bytes: some 1,600 records. A power of two and a multiple of the page size.
pub const SLOW_REQUESTS_BYTES: u32 = 64 * 1024;
/// Records of one container per second of uptime, so that one container cannot fill the ring buffer.
pub const SLOW_REQUESTS_PER_S: u64 = 16;

const _: () = assert!(size_of::<SlowRequest>() == 32);

// SAFETY: `repr(C)`, two u64 and four u32 without padding, any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SlowRequest {}
