//! The agent's process: what it cannot do, and what does not work without each capability in the table of
//! docs/security.md. Needs root.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

#[path = "privileges/capabilities.rs"]
mod capabilities;
#[cfg(target_arch = "x86_64")]
#[path = "privileges/injection.rs"]
mod injection;
#[path = "privileges/threads.rs"]
mod threads;
