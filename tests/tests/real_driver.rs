//! Compares the agent's metrics with recorded calls of NVIDIA's real driver with a fake GPU, in a guest of `cargo xtask vm
//! --real-driver`. Each test starts with freshly loaded modules and its own agent, so they must not run concurrently.
#![expect(clippy::panic, reason = "a panic fails the test, also in its helpers")]

mod real_driver {
    mod counts;
    mod modules;
    mod nvidia_programs;
    mod watch;
    mod xids;
}
