//! What the agent reports for a container, compared with the truth.

use std::time::Duration;

use glassbox_fixtures::exposition::{Sample, families};
use glassbox_tests::{
    agent::Agent,
    docker::eventually,
    gradio::truth::{Truth, assert_near},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// An agent whose collector of requests works, with these tables of the configuration.
pub(super) fn agent(tables: &str) -> Result<Agent, String> {
    Agent::with_collector("requests", &format!("tick_ms = 200\n{tables}"))
}

fn samples(agent: &Agent, id: &str) -> Vec<Sample> {
    let all: Vec<Sample> = families(&agent.metrics()).into_iter().flat_map(|family| family.samples).collect();
    let name = |sample: &Sample| sample.labels.get("container").cloned().unwrap_or_default();
    // The name is the beginning of the ID. IDs of one test begin with the same characters, so one of its containers may
    // have a name that is also the beginning of the others' IDs.
    let own = all.iter().map(name).filter(|name| id.starts_with(name)).max_by_key(String::len);
    all.into_iter().filter(|sample| own.as_ref() == Some(&name(sample))).collect()
}

fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_wanted = |sample: &&Sample| {
        sample.name == name
            && labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|known| known == value))
    };
    samples.iter().filter(is_wanted).map(|sample| sample.value).sum()
}

/// Waits until all jobs have ended, and asserts that their outcomes and times are those of the logs.
pub(super) fn assert_same(agent: &Agent, id: &str, truth: &Truth) {
    let counted = eventually("all jobs have ended", TIMEOUT, || {
        let counted = samples(agent, id);
        let ended = sum(&counted, "glassbox_container_jobs_total", &[]);
        let in_flight = sum(&counted, "glassbox_container_jobs_in_flight", &[]);
        (ended >= truth.jobs() as f64 && in_flight == 0.0).then_some(counted)
    });
    assert_eq!(sum(&counted, "glassbox_container_jobs_total", &[]), truth.jobs() as f64);
    for (name, function) in &truth.functions {
        for outcome in ["success", "error", "cancelled", "abandoned"] {
            let known = function.ended.get(outcome).copied().unwrap_or_default();
            let ended = sum(&counted, "glassbox_container_jobs_total", &[("fn", name), ("outcome", outcome)]);
            assert_eq!(ended, known as f64, "function {name}, {outcome}");
        }
        let of = |family: &str| sum(&counted, family, &[("fn", name)]);
        assert_eq!(of("glassbox_container_jobs_started_total"), function.waits_ns.len() as f64, "{name}");
        let waits = of("glassbox_container_job_queue_seconds_total");
        assert_near(&format!("function {name}, queue waits"), waits, &function.waits_ns);
        let runs = of("glassbox_container_job_run_seconds_total");
        assert_near(&format!("function {name}, runs"), runs, &function.runs_ns);
    }
    for reason in ["unknown_message", "unreadable", "refused", "evicted"] {
        let ignored = sum(&counted, "glassbox_container_job_events_ignored_total", &[("reason", reason)]);
        assert_eq!(ignored, 0.0, "{reason}");
    }
}
