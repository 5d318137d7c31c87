//! Counters of a container that is restarted repeatedly.

use std::time::Duration;

use glassbox_tests::{
    agent::Agent,
    docker::{Container, Docker, Network, eventually},
};

use super::{
    or_skip,
    series::{TIMEOUT, series, value},
};

/// The increase as Prometheus computes it: growth before a reset that no sample shows is lost.
fn increase(samples: &[f64]) -> f64 {
    let first = samples.first().copied().unwrap_or_default();
    let later = samples.windows(2).map(|pair| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] });
    first + later.sum::<f64>()
}

#[test]
fn runs_shorter_than_the_scrape_interval_are_all_counted() {
    let Some(docker) = or_skip(Docker::own(Network::None)) else { return };
    let socket = docker.socket().display();
    let agent = Agent::start(&format!("tick_ms = 200\n[docker]\nsocket = \"{socket}\"\n"));
    // Each run prints its own usage, in hundredths of a second.
    let command = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; \
                   read -r stat < /proc/self/stat; set -- ${stat##*) }; echo $((${12} + ${13})); exit 3";
    let container = Container::run(&docker, "loop", &["--restart=always"], &["sh", "-c", command]);
    let name = r#"container="loop""#;
    let families = ["container_cpu_usage_seconds_total", "glassbox_container_oncpu_seconds_total"];
    let mut samples = families.map(|_| Vec::new());
    let scrape = |samples: &mut [Vec<f64>; 2]| {
        for (family, samples) in families.iter().zip(samples) {
            samples.extend(value(&agent, family, &[name]));
        }
    };
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(5));
        scrape(&mut samples);
    }
    docker.run(&["stop", "--time=0", &container.id]);
    let runs: f64 = container.inspect("{{.RestartCount}}").parse::<f64>().unwrap() + 1.0;
    eventually("the last run has ended", TIMEOUT, || {
        (value(&agent, "glassbox_container_running", &[name]) == Some(0.0)).then_some(())
    });
    scrape(&mut samples);
    let logs = docker.run(&["logs", &container.id]);
    let used_s: f64 = logs.lines().filter_map(|line| line.trim().parse::<f64>().ok()).sum::<f64>() / 100.0;
    println!("{runs} runs used {used_s} s or more: {samples:?}");
    assert!(runs >= 4.0, "{runs} runs");
    for (family, samples) in families.iter().zip(&samples) {
        assert!(samples.windows(2).all(|pair| pair[1] >= pair[0]), "{family} falls: {samples:?}");
        // The counters also include the runtime's work before the main process, and the last, unfinished run.
        let counted = increase(samples);
        assert!(counted > used_s * 0.9 && counted < used_s * 2.0 + 2.0, "{family}: {counted} of {used_s} s");
    }
    assert_eq!(series(&agent, "container_cpu_usage_seconds_total", &[name]).len(), 1);
}
