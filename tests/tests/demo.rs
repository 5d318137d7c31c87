//! `cargo xtask run --demo` without `cargo xtask run`: the agent's metrics of the demonstration.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::Agent,
    demo::{Demo, STEP},
    http, nvml, skip, stand_in,
};

/// A call counts as stuck after ten seconds. The rest is for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One in three jobs fails. A counter that is at 1 and then at 2 grows.
const FACEFUSION: [&str; 3] = [
    "glassbox_facefusion_jobs_total{container=\"demo-facefusion\",outcome=\"completed\",reason=\"none\"} 1",
    "glassbox_facefusion_jobs_total{container=\"demo-facefusion\",outcome=\"completed\",reason=\"none\"} 2",
    "glassbox_facefusion_jobs_total{container=\"demo-facefusion\",outcome=\"failed\",reason=\"processing_error\"} 1",
];

/// Continues the demonstration until the agent has exported each of these lines once. They need not be there at the same
/// time: a restarted container has other values for a while.
fn until(demo: &mut Demo, agent: &Agent, lines: &[&str]) {
    let begun = Instant::now();
    let mut missing = lines.to_vec();
    while !missing.is_empty() {
        demo.step().unwrap();
        let metrics = agent.metrics();
        missing.retain(|line| {
            let exported = metrics.lines().any(|metric| metric == *line);
            if exported {
                println!("{:.1?}: {line}", begun.elapsed());
            }
            !exported
        });
        // Series that explain a failure: states, calls, losses.
        let explain = [
            "_state",
            "in_flight",
            "waiting",
            "ioctls_total",
            "lost_events",
            "collector_up",
            "allocation",
            "facefusion",
        ];
        let related = metrics.lines().filter(|line| explain.iter().any(|part| line.contains(part)));
        let related: Vec<_> = related.filter(|line| !line.starts_with('#')).collect();
        assert!(
            begun.elapsed() < TIMEOUT || missing.is_empty(),
            "the agent does not export {missing:#?}; it exports\n{}",
            related.join("\n")
        );
        thread::sleep(STEP);
    }
}

#[test]
fn the_agent_exports_the_states_of_the_demonstration_and_marks_it_as_one() {
    let programs = Path::new(env!("CARGO_BIN_EXE_fake-cuda")).parent().unwrap();
    let mut demo = Demo::start(programs, stand_in::built_library(nvml::PACKAGE))
        .unwrap_or_else(|error| panic!("{error:#}"));
    let agent = Agent::start(&demo.configuration());
    demo.begin().unwrap();
    let mut lines = vec![
        "glassbox_demo_info 1",
        "glassbox_container_gpu_state{container=\"demo-facefusion-1\",state=\"busy\"} 1",
        "glassbox_container_gpu_state{container=\"demo-facefusion-2\",state=\"busy\"} 1",
        "glassbox_container_gpu_state{container=\"demo-greedy\",state=\"idle_with_memory\"} 1",
        "glassbox_container_gpu_state{container=\"demo-hung\",state=\"stuck_in_driver\"} 1",
        "glassbox_container_gpu_contexts_created_total{container=\"demo-facefusion-1\"} 1",
        "glassbox_container_gpu_utilization_ratio{container=\"demo-facefusion-1\",gpu=\"0\",uuid=\"GPU-demo-0\"} 0.9",
        "glassbox_container_gpu_utilization_ratio{container=\"demo-facefusion-2\",gpu=\"0\",uuid=\"GPU-demo-0\"} 0.3",
        "glassbox_container_gpu_memory_allocation_failures_total{container=\"demo-greedy\",reason=\"no_memory\"} 1",
        "glassbox_container_health{container=\"demo-hung\",state=\"stuck\",reason=\"nvidia_driver\"} 1",
        "glassbox_container_health{container=\"demo-api\",state=\"working\",reason=\"none\"} 1",
        "glassbox_container_health{container=\"demo-deadlocked\",state=\"stuck\",reason=\"lock\"} 1",
    ];
    match demo.missing() {
        Some(missing) => skip("the_agent_exports_the_states_of_the_demonstration (FaceFusion)", &missing),
        None => lines.extend(FACEFUSION),
    }
    until(&mut demo, &agent, &lines);
    let metrics = agent.metrics();
    let refused = "glassbox_container_gpu_memory_allocation_failures_total{container=\"demo-facefusion-1\",reason=\"no_memory\"}";
    assert!(metrics.contains(&format!("{refused} 0\n")), "{metrics}");
    for (family, labels) in [
        ("http_requests_total", "code_class=\"2xx\""),
        ("http_requests_total", "code_class=\"5xx\""),
        ("stream_first_event_seconds_count", ""),
        ("work_seconds_total", "activity=\"on_cpu\""),
    ] {
        let start = format!("glassbox_container_{family}{{container=\"demo-api\"");
        let of = metrics.lines().filter(|line| line.starts_with(&start) && line.contains(labels));
        assert!(of.clone().any(|line| !line.ends_with(" 0")), "{family}: {:?}", of.collect::<Vec<_>>());
    }
    assert!(metrics.contains("modelName=\"DEMO GPU (no such hardware)\""), "{metrics}");
    for path in ["/", "/healthz", "/metrics/cadvisor"] {
        assert!(http::get(agent.address, path).unwrap().body.to_lowercase().contains("demo"), "{path}");
    }
}
