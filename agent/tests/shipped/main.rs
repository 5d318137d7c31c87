//! What is shipped beside the binary: the annotated configuration and the systemd unit.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails; these helpers are tests, too")]

mod config;
mod unit;
