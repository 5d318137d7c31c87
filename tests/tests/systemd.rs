//! The unit and the package of the agent under Debian's systemd, in a guest of `cargo xtask vm --systemd`. The tests control
//! one service, so they must not run concurrently.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod systemd {
    mod credentials;
    mod failures;
    mod package;
    mod privileges;
    mod service;
    mod stop;
}
