//! What the agent reports for a container.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use glassbox_fixtures::exposition::{Sample, families};
use glassbox_tests::{
    agent::Agent,
    docker::eventually,
    web::{Nginx, Requests, needs},
};

/// A test uses all CPUs and thousands of ports, so only one runs at a time.
pub(super) static ALONE: Mutex<()> = Mutex::new(());

const TIMEOUT: Duration = Duration::from_secs(30);

/// An agent whose collector of requests works.
pub(super) fn agent(configuration: &str) -> Result<Agent, String> {
    Agent::with_collector("requests", &format!("tick_ms = 200\n{configuration}"))
}

/// An agent and an nginx that it watches, if the program that sends requests is installed.
pub(super) fn nginx(program: &str) -> Result<(Agent, Nginx), String> {
    needs(program)?;
    let (agent, nginx) = (agent(WITHOUT_DOCKER)?, Nginx::start()?);
    watched(&agent, &nginx.container.id);
    Ok((agent, nginx))
}

/// Without Docker: containers have their IDs as names.
pub(super) const WITHOUT_DOCKER: &str = "[docker]\nenabled = false\n";

fn all(agent: &Agent) -> Vec<Sample> {
    families(&agent.metrics()).into_iter().flat_map(|family| family.samples).collect()
}

/// Values of one container.
pub(super) struct Counted(Vec<Sample>);

impl Counted {
    pub(super) fn read(agent: &Agent, id: &str) -> Self {
        let is_own = |sample: &Sample| {
            sample
                .labels
                .get("container")
                .is_some_and(|name| !name.is_empty() && id.starts_with(name.as_str()))
        };
        Self(all(agent).into_iter().filter(is_own).collect())
    }

    pub(super) fn sum(&self, name: &str) -> u64 {
        let name = format!("glassbox_container_http_{name}");
        self.0.iter().filter(|sample| sample.name == name).map(|sample| sample.value as u64).sum()
    }

    pub(super) fn requests(&self) -> Requests {
        let mut responses: BTreeMap<String, u64> = BTreeMap::new();
        for sample in &self.0 {
            if sample.name == "glassbox_container_http_requests_total" {
                *responses.entry(sample.labels["code_class"].clone()).or_default() += sample.value as u64;
            }
        }
        Requests {
            responses,
            response_bytes: self.sum("response_bytes_total"),
            request_bytes: self.sum("request_bytes_total"),
        }
    }

    /// The bucket with a part of the durations: its number, and the bounds of all buckets in seconds.
    pub(super) fn quantile(&self, part: f64) -> (usize, Vec<f64>) {
        let name = "glassbox_container_http_request_duration_seconds_bucket";
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter(|sample| sample.name == name)
            .map(|sample| (bound(&sample.labels["le"]), sample.value))
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let count = buckets.last().unwrap().1;
        let index = buckets.iter().position(|(_, below)| *below >= count * part).unwrap();
        (index, buckets.into_iter().map(|(bound, _)| bound).collect())
    }
}

/// Asserts that the median and the 99th percentile of all durations are within one bucket of the server's.
pub(super) fn assert_quantiles(agent: &Agent, id: &str, of_server_s: impl Fn(f64) -> f64) {
    let counted = Counted::read(agent, id);
    for part in [0.5, 0.99] {
        let truth_s = of_server_s(part);
        let (bucket, bounds) = counted.quantile(part);
        let expected = bounds.iter().position(|bound| *bound >= truth_s).unwrap();
        println!("quantile {part}: {truth_s} s by the server, at most {} s counted", bounds[bucket]);
        assert!(bucket.abs_diff(expected) <= 1, "{part}: {truth_s} s, at most {} s counted", bounds[bucket]);
    }
}

fn bound(text: &str) -> f64 {
    if text == "+Inf" { f64::INFINITY } else { text.parse().unwrap() }
}

/// Waits until the agent has counted what the server has logged, and asserts that it is the same.
pub(super) fn assert_same(agent: &Agent, id: &str, what: &str, log: impl Fn() -> Requests) -> Requests {
    let mut last = (Requests::default(), Requests::default());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        last = (Counted::read(agent, id).requests(), log());
        if last.0 == last.1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(last.0, last.1, "{what}: counted (left) and logged (right)");
    println!("{what}: {:?}", last.1);
    last.1
}

/// Waits until the agent has found the container and its port, and returns what it has counted by then.
pub(super) fn watched(agent: &Agent, id: &str) -> Requests {
    eventually("the agent watches the container's port", TIMEOUT, || {
        let counted = Counted::read(agent, id);
        let name = "glassbox_container_http_requests_in_flight";
        counted.0.iter().any(|sample| sample.name == name).then(|| counted.requests())
    })
}
