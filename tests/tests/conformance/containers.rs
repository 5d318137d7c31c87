//! Compares every value of real containers with its cgroup file. Needs root and Docker.

use std::time::{Duration, Instant};

use glassbox_fixtures::exposition::Scrape;
use glassbox_tests::{
    agent::Agent,
    conformance::{
        source::{Directories, Values},
        table::{Row, compare, rows},
    },
    docker::{Container, Docker, Network},
    skip,
};

/// Time within which each value must be between two readings of its file.
const TIMEOUT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(100);

#[test]
fn every_value_matches_its_file_within_a_tick() {
    let test = "every_value_matches_its_file_within_a_tick";
    let Some(docker) = Docker::own(Network::Bridge).map_err(|reason| skip(test, &reason)).ok() else {
        return;
    };
    let agent = Agent::start(&format!(
        "tick_ms = {}\ndocker.socket = {:?}\n",
        TICK.as_millis(),
        docker.socket().display().to_string()
    ));
    let limits = ["--cpus=0.5", "--memory=64m", "--memory-reservation=32m", "--pids-limit=50"];
    // Reads and writes files, uses the CPU until it is throttled, starts threads, and then sleeps.
    let work = "dd if=/dev/zero of=/file bs=1M count=20; cat /file >/dev/null; sleep 600 & i=0; \
                while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 600";
    let limited = Container::run(&docker, "limited", &limits, &["sh", "-c", work]);
    let plain = Container::run(&docker, "plain", &[], &["sh", "-c", "sleep 600 & sleep 600"]);

    let mut compared = 0;
    for (container, quota) in [(&limited, true), (&plain, false)] {
        let directories = Directories::of(container.pid());
        let name = if quota { "limited" } else { "plain" };
        let mut open: Vec<(Row, String)> = rows().into_iter().map(|row| (row, String::new())).collect();
        let total = open.len();
        open.retain(|(row, _)| directories.read(directories.choose(&row.v2, &row.v1)).is_some());
        compared += open.len();
        println!("{name}: {} of {total} rows are in files", open.len());
        let begun = Instant::now();
        while !open.is_empty() {
            let before: Vec<Values> = open.iter().map(|(row, _)| directories.values(row, quota)).collect();
            let scrape = after_two_ticks(&agent);
            let mut still = Vec::new();
            for ((row, _), before) in open.into_iter().zip(before) {
                let after = directories.values(&row, quota);
                if let Err(why) = compare(&scrape, ("name", name), &row, &before, &after) {
                    still.push((row, why));
                }
            }
            open = still;
            if begun.elapsed() > TIMEOUT {
                let wrong: Vec<_> = open.iter().map(|(row, why)| format!("{}: {why}", row.family)).collect();
                assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
            }
        }
    }
    assert!(compared > 80, "{compared} values");
}

/// A scrape of a snapshot that was started after this call.
fn after_two_ticks(agent: &Agent) -> Scrape {
    let ticks = |scrape: &Scrape| scrape.of("glassbox_ticks_total", &[]).next().unwrap().value;
    let first = ticks(&Scrape::parse(&agent.metrics()));
    loop {
        let scrape = Scrape::parse(&agent.metrics());
        if ticks(&scrape) >= first + 2.0 {
            return scrape;
        }
        std::thread::sleep(TICK / 4);
    }
}
