//! The query for a noisy neighbour: does another container take CPU time from mine?

use std::time::Duration;

use glassbox_tests::docker::Container;

use super::stack::Stack;

const P99: &str = r#"histogram_quantile(0.99, rate(glassbox_container_runqueue_latency_seconds_bucket{container="facefusion-1"}[1m]))"#;

/// Works for some milliseconds and sleeps for five, repeatedly, so it waits for a CPU hundreds of times per second.
const SERVICE: &str =
    "while true; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; /bin/sleep 0.005; done";
const NEIGHBOUR: &str = "while true; do true; done & while true; do true; done";

#[test]
fn p99_of_run_queue_latency_rises_with_a_busy_neighbour() {
    let Some(stack) = Stack::start("p99_of_run_queue_latency_rises_with_a_busy_neighbour", "") else {
        return;
    };
    let p99 = || {
        let samples = stack.prometheus.query(P99).unwrap();
        assert_eq!(samples.len(), 1, "{samples:?}");
        samples[0].value
    };
    let pinned = ["--cpuset-cpus", "0"];
    let _service = Container::run(&stack.docker, "facefusion-1", &pinned, &["sh", "-c", SERVICE]);
    stack
        .prometheus
        .wait_for(P99, Duration::from_secs(10), |samples| samples.iter().any(|one| one.value > 0.0));
    std::thread::sleep(Duration::from_secs(6));
    let alone = p99();
    // Sixteen times the weight, so that the effect is larger than that of other processes on this host.
    let heavy = ["--cpuset-cpus", "0", "--cpu-shares", "16384"];
    let _neighbour = Container::run(&stack.docker, "neighbour", &heavy, &["sh", "-c", NEIGHBOUR]);
    std::thread::sleep(Duration::from_secs(14));
    let beside = p99();
    println!("P99 alone {:.1} µs, beside the neighbour {:.1} µs", alone * 1e6, beside * 1e6);
    assert!(beside > 0.001, "beside a neighbour that never sleeps P99 is only {beside} s");
    assert!(beside > alone * 5.0, "P99 was {alone} s alone and is {beside} s beside the neighbour");
}
