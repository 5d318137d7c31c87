//! The HTTP server with well-behaved and hostile clients.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod answers;
mod client;
mod host;
mod host_names;
mod hostile_http;
mod limits;
