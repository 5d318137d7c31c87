//! The agent's process: restrictions that are off, and a port that needs a capability. Needs root.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

#[path = "privileges/capabilities.rs"]
mod capabilities;
#[path = "privileges/threads.rs"]
mod threads;
