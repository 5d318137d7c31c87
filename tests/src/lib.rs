//! What the tests share: containers, servers and processes that are cleaned up when dropped.
#![expect(clippy::panic, reason = "a test that cannot go on fails; these are their tools")]

pub mod agent;
pub mod cgroup;
pub mod conformance;
pub mod containerd;
pub mod cuda;
pub mod dashboards;
pub mod demo;
pub mod disk;
pub mod docker;
pub mod fake_tree;
pub mod gpu_check;
pub mod guest;
pub mod http;
pub mod kernel_module;
pub mod measure;
pub mod memory_limit;
pub mod nvidia;
pub mod nvidia_module;
pub mod nvml;
pub mod pod;
pub mod podman;
pub mod prometheus;
pub mod real_driver;
pub mod sandbox;
pub mod service;
pub mod setting;
pub mod signals;
pub mod stand_in;
pub mod worker;

/// Says aloud that a test was not run, and why; `cargo xtask test` counts these lines. With `GLASSBOX_TESTS_STRICT=1` a
/// skip is a failure.
///
/// # Panics
/// Under `GLASSBOX_TESTS_STRICT=1`.
pub fn skip(test: &str, reason: &str) {
    eprintln!("SKIP {test}: {reason}");
    assert!(std::env::var_os("GLASSBOX_TESTS_STRICT").is_none_or(|strict| strict != "1"), "{test}: {reason}");
}

/// Says that a test does not apply to this kind of host, which no set-up could change. Counted as a skip, but no failure
/// under `GLASSBOX_TESTS_STRICT=1`.
pub fn inapplicable(test: &str, reason: &str) {
    eprintln!("SKIP {test}: {reason}");
}
