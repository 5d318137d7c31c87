//! Requests over HTTP/1.1 that one container serves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use glassbox_ebpf::requests::{
    connection::Opaque,
    first_line::Method,
    service::{RequestMeasures, duration},
    slow::End,
};

use super::uploads::Uploads;

/// Values of the label `code_class`, in the order of the first digit of the status.
pub const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the kernel programs have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestUsage {
    /// Responses that have begun; only combinations that have occurred.
    pub responses: Vec<ResponseCount>,
    /// Retries; only routes with any.
    pub retries: Vec<RetryCount>,
    /// Durations, bytes and rare events.
    pub measures: RequestMeasures,
    /// Requests that are not answered completely now; without streams.
    pub in_flight: u64,
    /// Requests in flight that wait for the server: they are complete, their response has not begun, and no earlier response is
    /// being sent.
    pub unanswered: u64,
    /// Streams that are open now.
    pub streams: u64,
    /// Time since the oldest request in flight arrived; `None` if there is none.
    pub oldest: Option<Duration>,
    /// Slow requests that have ended since the row was read before; empty if they are not logged.
    pub slow: Vec<SlowRequest>,
    /// Uploads; `None` if there were none, or they are not read.
    pub uploads: Option<Uploads>,
}

/// Responses of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseCount {
    /// The method of the request.
    pub method: &'static str,
    /// One of [`CODE_CLASSES`].
    pub code_class: &'static str,
    /// The route.
    pub route: Arc<str>,
    /// Number of responses.
    pub count: u64,
}

/// Retries of requests to one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryCount {
    /// The route.
    pub route: Arc<str>,
    /// Number of retries.
    pub count: u64,
}

/// A request that took long, and has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRequest {
    /// Its number among all slow requests; ascending.
    pub number: u64,
    /// The method.
    pub method: &'static str,
    /// The route.
    pub route: Arc<str>,
    /// The status of the response; `None` if no response had begun.
    pub code: Option<u32>,
    /// When it ended.
    pub ended: Instant,
    /// Time from its arrival to its end.
    pub duration: Duration,
    /// Time from its arrival to the first byte of the response; `None` if no response had begun, or above 36 minutes.
    pub first_byte: Option<Duration>,
    /// How it ended.
    pub end: End,
}
