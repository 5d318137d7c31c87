//! What is shipped beside the binary: the annotated configuration, the systemd unit and the README.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails; these helpers are tests, too")]

mod config;
mod readme;
mod unit;
