//! Requests over HTTP/1.1 that one container serves.

use std::{sync::Arc, time::Duration};

pub use glassbox_ebpf::requests::{
    connection::Opaque,
    first_line::Method,
    service::{RequestMeasures, duration},
};

/// Values of the label `code_class`, in the order of the first digit of the status.
pub const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the kernel programs have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestUsage {
    /// Responses that have begun; only combinations that have occurred.
    pub responses: Vec<ResponseCount>,
    /// Durations, bytes and rare events.
    pub measures: RequestMeasures,
    /// Requests that are not answered completely now; without streams.
    pub in_flight: u64,
    /// Streams that are open now.
    pub streams: u64,
    /// Time since the oldest request in flight arrived; `None` if there is none.
    pub oldest: Option<Duration>,
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
