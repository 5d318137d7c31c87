//! The life of an agent: SIGHUP, and SIGTERM and SIGKILL under load. Needs root.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod graceful {
    mod reload;
    mod restarts;
}
