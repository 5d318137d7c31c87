//! The agent against NVIDIA's real driver with a fake GPU, in a guest of `cargo xtask vm --real-driver`: what the agent
//! counts is what a recorder saw. Each test starts with freshly loaded modules and an agent of its own, so never run
//! them beside each other.
#![expect(clippy::panic, reason = "what these functions do for tests, tests may do")]

mod real_driver {
    mod counts;
    mod modules;
    mod nvidia_programs;
    mod watch;
    mod xids;
}
