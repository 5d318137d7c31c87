//! `rate()` across a restart of the agent: what was counted before is not counted again as if it were new.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::Duration,
};

use glassbox_tests::{
    agent::Agent,
    process_container::ProcessContainer,
    prometheus::{Programs, Prometheus},
    service::free_address,
    skip,
};

use super::stack;

/// Uses the CPU and reads a file of /proc, repeatedly.
const WORK: &str = "while true; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; cat /proc/self/maps >/dev/null; \
                    sleep 0.005; done";
/// How long the work runs before the agent is killed, so that what would be counted again is a multiple of the rate.
const HISTORY: Duration = Duration::from_secs(16);
/// How long the new agent runs.
const AFTER: Duration = Duration::from_secs(6);
/// The range of `increase()`.
const RANGE: &str = "3s";
/// Counters that grow by less than this share of their value within the range are too slow to be compared.
const SLOW: f64 = 0.02;

/// The highest increase within [`RANGE`] and the highest value of each counter of a container, over the last seconds. Series of
/// one family are summed.
fn increases(prometheus: &Prometheus, container: &str, window: Duration) -> BTreeMap<String, (f64, f64)> {
    let selector = format!("{{container=\"{container}\",__name__=~\".+_(total|count|sum|bucket)\"}}");
    let names = prometheus.label_values(&selector, "__name__").unwrap();
    let value = |query: &str| prometheus.query(query).unwrap().first().map(|sample| sample.value);
    let window_s = window.as_secs();
    let of = |name: String| {
        let one = format!("{name}{{container=\"{container}\"}}");
        let increase = value(&format!("max_over_time(sum(increase({one}[{RANGE}]))[{window_s}s:1s])"))?;
        let total = value(&format!("max_over_time(sum({one})[{window_s}s:1s])"))?;
        Some((name, (increase, total)))
    };
    names.into_iter().filter_map(of).collect()
}

#[test]
fn rate_has_no_spike_when_the_agent_is_killed_and_started_again() {
    let test = "rate_has_no_spike_when_the_agent_is_killed_and_started_again";
    let _alone = stack::alone();
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let Ok(container) = ProcessContainer::new().map_err(|reason| skip(test, &reason)) else { return };
    let name = container.id[..12].to_owned();
    let mut shell = std::process::Command::new("sh");
    let mut work = container.command(shell.args(["-c", WORK])).spawn().unwrap();
    let address = free_address();
    let configuration = "tick_ms = 500\n[docker]\nenabled = false\n";
    let mut agent = Agent::start_at(address, configuration);
    let prometheus = Prometheus::start(&programs, address);

    sleep(HISTORY);
    let before = increases(&prometheus, &name, Duration::from_secs(10));
    agent.send(libc::SIGKILL);
    assert!(agent.ends_within(Duration::from_secs(10)), "SIGKILL has not ended it");
    let agent = Agent::start_at(address, configuration);
    sleep(AFTER);
    let after = increases(&prometheus, &name, AFTER);
    let starts = prometheus.query("changes(process_start_time_seconds[1m])").unwrap();
    assert_eq!(
        starts.iter().map(|sample| sample.value).collect::<Vec<_>>(),
        [1.0],
        "restarts that Prometheus saw"
    );

    let mut compared = BTreeSet::new();
    for (family, (highest, total)) in &before {
        // If the history were counted as new, the increase would be the total or more. Counters that grow in bursts come near to
        // that anyway.
        if *highest <= total * SLOW || highest * 3.0 >= *total {
            continue;
        }
        compared.insert(family.as_str());
        let (now, _) = after.get(family).unwrap_or_else(|| panic!("{family} is missing after the restart"));
        assert!(
            now < total,
            "{family}: {now} within {RANGE} after the restart, {highest} before, {total} in all"
        );
    }
    println!("of {} families: {compared:#?}", before.len());
    for family in ["container_cpu_usage_seconds_total", "glassbox_container_runqueue_latency_seconds_count"] {
        assert!(compared.contains(family), "{family} was not compared: {before:#?}");
    }
    drop(agent);
    let _ = work.kill();
    let _ = work.wait();
}
