//! Clients that connect to the application.

use glassbox_tests::{
    gradio::{Application, Gradio},
    skip,
};

use super::counted::{agent, assert_same};

fn compare(test: &str, version: &str) {
    let started = Gradio::find(version).and_then(|gradio| Ok((agent()?, Application::start(gradio, 1)?)));
    let (agent, application) = match started {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let truth = application.drive(&[application.address]);
    assert!(truth.jobs() >= 15, "{truth:?}");
    assert_same(&agent, &application.id, &truth);
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
    let started = Gradio::find("5.50.0").and_then(|gradio| Application::start(gradio, 1));
    let application = match started {
        Ok(application) => application,
        Err(reason) => return skip(test, &reason),
    };
    let truth = application.drive(&[application.address]);
    assert_eq!(truth.jobs(), 15, "{truth:?}");
    let ends = |outcome: &str| -> u64 {
        truth.functions.values().filter_map(|function| function.ended.get(outcome)).sum()
    };
    assert_eq!(["success", "error", "cancelled", "abandoned"].map(ends), [8, 3, 3, 1]);
    let waits: usize = truth.functions.values().map(|function| function.waits_ns.len()).sum();
    assert_eq!(waits, 11, "{truth:?}");
}
