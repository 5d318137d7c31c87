//! Jobs of real Gradio servers, as the agent counts them from their network traffic, compared with the logs of the
//! application and its clients. Each test takes a minute, most of it for jobs of known length.

use std::time::Duration;

use glassbox_fixtures::exposition::{Sample, families};
use glassbox_tests::{
    agent::Agent,
    docker::eventually,
    gradio::{Application, Gradio, truth::assert_near},
    inapplicable, skip,
};

const TIMEOUT: Duration = Duration::from_secs(30);

fn samples(agent: &Agent, id: &str) -> Vec<Sample> {
    let all = families(&agent.metrics()).into_iter().flat_map(|family| family.samples);
    all.filter(|sample| sample.labels.get("container").is_some_and(|name| id.starts_with(name))).collect()
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

fn compare(test: &str, version: &str) {
    let gradio = match Gradio::find(version) {
        Ok(gradio) => gradio,
        Err(reason) => return skip(test, &reason),
    };
    let agent = Agent::start("tick_ms = 200\n[docker]\nenabled = false\n");
    let up = families(&agent.metrics()).into_iter().flat_map(|family| family.samples).find(|sample| {
        sample.name == "glassbox_collector_up"
            && sample.labels.get("collector").is_some_and(|name| name == "requests")
    });
    match up.map(|sample| sample.value > 0.0) {
        Some(true) => {}
        Some(false) => return skip(test, "the collector requests cannot work on this host"),
        None => return inapplicable(test, "this agent has no collector requests"),
    }
    let application = match Application::start(gradio) {
        Ok(application) => application,
        Err(reason) => return skip(test, &reason),
    };
    let truth = application.drive();
    assert!(truth.jobs() >= 15, "{truth:?}");
    let counted = eventually("all jobs have ended", TIMEOUT, || {
        let counted = samples(&agent, &application.id);
        let ended = sum(&counted, "glassbox_container_jobs_total", &[]);
        let in_flight = sum(&counted, "glassbox_container_jobs_in_flight", &[]);
        (ended >= truth.jobs() as f64 && in_flight == 0.0).then_some(counted)
    });
    assert_eq!(sum(&counted, "glassbox_container_jobs_total", &[]), truth.jobs() as f64);
    for (name, function) in &truth.0 {
        for outcome in ["success", "error", "cancelled", "abandoned"] {
            let known = function.ended.get(outcome).copied().unwrap_or_default();
            let ended = sum(&counted, "glassbox_container_jobs_total", &[("fn", name), ("outcome", outcome)]);
            assert_eq!(ended, known as f64, "{version}, function {name}, {outcome}");
        }
        let of = |family: &str| sum(&counted, family, &[("fn", name)]);
        assert_eq!(of("glassbox_container_jobs_started_total"), function.waits_ns.len() as f64, "{name}");
        let what = format!("{version}, function {name}");
        let waits = of("glassbox_container_job_queue_seconds_total");
        assert_near(&format!("{what}, queue waits"), waits, &function.waits_ns);
        let runs = of("glassbox_container_job_run_seconds_total");
        assert_near(&format!("{what}, runs"), runs, &function.runs_ns);
    }
    for reason in ["unknown_message", "unreadable", "refused", "evicted"] {
        let ignored = sum(&counted, "glassbox_container_job_events_ignored_total", &[("reason", reason)]);
        assert_eq!(ignored, 0.0, "{reason}");
    }
}

#[test]
fn the_jobs_of_gradio_5_are_those_that_the_application_logged() {
    compare("the_jobs_of_gradio_5_are_those_that_the_application_logged", "5.50.0");
}

#[test]
fn the_jobs_of_gradio_4_are_those_that_the_application_logged() {
    compare("the_jobs_of_gradio_4_are_those_that_the_application_logged", "4.44.1");
}

#[test]
fn the_application_and_its_clients_log_every_job() {
    let test = "the_application_and_its_clients_log_every_job";
    let started = Gradio::find("5.50.0").and_then(Application::start);
    let application = match started {
        Ok(application) => application,
        Err(reason) => return skip(test, &reason),
    };
    let truth = application.drive();
    assert_eq!(truth.jobs(), 15, "{truth:?}");
    let ends =
        |outcome: &str| -> u64 { truth.0.values().filter_map(|function| function.ended.get(outcome)).sum() };
    assert_eq!(["success", "error", "cancelled", "abandoned"].map(ends), [8, 3, 3, 1]);
    let waits: usize = truth.0.values().map(|function| function.waits_ns.len()).sum();
    assert_eq!(waits, 11, "{truth:?}");
}
