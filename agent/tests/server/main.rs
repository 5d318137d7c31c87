//! The HTTP server, as seen by those who mean well and by those who do not.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; these helpers are tests, too"
)]

mod answers;
mod client;
mod host;
mod host_names;
mod hostile_http;
mod limits;
