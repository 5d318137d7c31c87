//! The shared parts of the tests: containers, servers and processes that are cleaned up when dropped.
#![expect(clippy::panic, reason = "a panic fails the test, also in its helpers")]

pub mod agent;
pub mod alertmanager;
pub mod browser;
pub mod cgroup;
pub mod conformance;
pub mod container_sockets;
pub mod containerd;
pub mod cpu_inference;
pub mod cuda;
pub mod dashboards;
pub mod demo;
pub mod deployment;
pub mod disk;
pub mod docker;
pub mod facefusion;
pub mod fake_tree;
pub mod gpu_check;
pub mod gradio;
pub mod grafana;
pub mod guest;
pub mod http;
pub mod kernel_module;
pub mod kernel_objects;
pub mod measure;
pub mod memory_limit;
pub mod node_exporter;
pub mod nvidia;
pub mod nvidia_module;
pub mod nvml;
pub mod packet_loss;
pub mod pod;
pub mod podman;
pub mod process_container;
pub mod prometheus;
pub mod proxy;
pub mod real_driver;
pub mod repository;
pub mod rules;
pub mod sandbox;
pub mod service;
pub mod setting;
pub mod signals;
pub mod stand_in;
pub mod veth;
pub mod web;
pub mod webhook;
pub mod worker;

/// Prints that a test was skipped, and why. `cargo xtask test` counts these lines. With `GLASSBOX_TESTS_STRICT=1` a skip is
/// a failure.
///
/// # Panics
/// If `GLASSBOX_TESTS_STRICT` is 1.
pub fn skip(test: &str, reason: &str) {
    eprintln!("SKIP {test}: {reason}");
    assert!(std::env::var_os("GLASSBOX_TESTS_STRICT").is_none_or(|strict| strict != "1"), "{test}: {reason}");
}

/// Prints that a test does not apply to this kind of host, and that no setup could change this. It is counted as a skip, but
/// is no failure with `GLASSBOX_TESTS_STRICT=1`.
pub fn inapplicable(test: &str, reason: &str) {
    eprintln!("SKIP {test}: {reason}");
}
