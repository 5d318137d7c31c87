//! `cargo xtask run --demo`, as far as it is not `cargo xtask run`: what the agent makes of the demonstration.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails; so do its helpers")]

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::Agent,
    demo::{Demo, STEP},
    http, nvml, stand_in,
};

/// Goes on with the demonstration until the agent says all of this.
fn until(demo: &mut Demo, agent: &Agent, lines: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        demo.step().unwrap();
        let metrics = agent.metrics();
        let said = |line: &&&str| metrics.lines().any(|metric| metric == **line);
        let Some(missing) = lines.iter().find(|line| !said(line)) else { return };
        assert!(Instant::now() < deadline, "the agent does not say {missing}");
        thread::sleep(STEP);
    }
}

#[test]
fn the_agent_sees_what_the_demonstration_plays_and_says_that_it_is_one() {
    let fake_cuda = Path::new(env!("CARGO_BIN_EXE_fake-cuda"));
    let mut demo = Demo::start(fake_cuda, stand_in::built_library(nvml::PACKAGE))
        .unwrap_or_else(|error| panic!("{error:#}"));
    let agent = Agent::start(&demo.configuration());
    until(
        &mut demo,
        &agent,
        &[
            "glassbox_demo_info 1",
            "glassbox_container_gpu_state{container=\"demo-facefusion-1\",state=\"busy\"} 1",
            "glassbox_container_gpu_state{container=\"demo-facefusion-2\",state=\"busy\"} 1",
            "glassbox_container_gpu_state{container=\"demo-greedy\",state=\"idle_with_memory\"} 1",
            "glassbox_container_gpu_state{container=\"demo-hung\",state=\"stuck_in_driver\"} 1",
            "glassbox_gpu_contexts_created_total{container=\"demo-facefusion-1\"} 1",
            "glassbox_container_gpu_utilization_ratio{container=\"demo-facefusion-1\",gpu=\"0\",uuid=\"GPU-demo-0\"} 0.9",
            "glassbox_container_gpu_utilization_ratio{container=\"demo-facefusion-2\",gpu=\"0\",uuid=\"GPU-demo-0\"} 0.3",
            "glassbox_gpu_memory_allocation_failures_total{container=\"demo-facefusion-1\",reason=\"no_memory\"} 0",
            "glassbox_gpu_memory_allocation_failures_total{container=\"demo-greedy\",reason=\"no_memory\"} 1",
        ],
    );
    let metrics = agent.metrics();
    assert!(metrics.contains("modelName=\"DEMO GPU (no such hardware)\""), "{metrics}");
    for path in ["/", "/healthz", "/metrics/cadvisor"] {
        assert!(http::get(agent.address, path).unwrap().body.to_lowercase().contains("demo"), "{path}");
    }
}
