//! Clients that connect to the application. Both versions of Gradio work at the same time, because most of the time goes by
//! in jobs of known length.

use std::thread;

use glassbox_tests::{
    agent::Agent,
    gradio::{Application, Gradio, truth::Truth},
    skip,
};

use super::counted::{agent, assert_same};

#[test]
fn the_jobs_of_gradio_4_and_5_are_those_that_the_applications_logged() {
    let test = "the_jobs_of_gradio_4_and_5_are_those_that_the_applications_logged";
    let agent = match agent() {
        Ok(agent) => agent,
        Err(reason) => return skip(test, &reason),
    };
    thread::scope(|scope| {
        for version in ["5.50.0", "4.44.1"] {
            let agent = &agent;
            scope.spawn(move || {
                let started = Gradio::find(version).and_then(|gradio| Application::start(gradio, 1));
                match started {
                    Ok(application) => compare(agent, &application),
                    Err(reason) => skip(&format!("{test} ({version})"), &reason),
                }
            });
        }
    });
}

fn compare(agent: &Agent, application: &Application) {
    let truth = application.drive(&[application.address]);
    assert_complete(&truth);
    assert_same(agent, &application.id, &truth);
}

/// Asserts that the logs contain what the clients do in tests/gradio/drive.py.
fn assert_complete(truth: &Truth) {
    let ends = |outcome: &str| -> u64 {
        truth.functions.values().filter_map(|function| function.ended.get(outcome)).sum()
    };
    assert_eq!(["success", "error", "cancelled", "abandoned"].map(ends), [8, 3, 3, 1], "{truth:?}");
    let waits: usize = truth.functions.values().map(|function| function.waits_ns.len()).sum();
    assert_eq!(waits, 11, "{truth:?}");
}
