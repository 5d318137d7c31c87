//! Files that are shipped with the binary: the annotated configuration, the systemd unit and the README.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod config;
mod documents;
mod readme;
mod reload;
mod unit;
