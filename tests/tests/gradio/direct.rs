//! Clients that connect to the application. Both versions of Gradio work at the same time, because most of the time goes by
//! in jobs of known length.

use std::thread;

use glassbox_tests::{
    agent::Agent,
    docker::{Docker, Network},
    gradio::{Application, Gradio, truth::Truth},
    skip,
};

use super::counted::{agent, assert_same};

#[test]
fn the_jobs_of_gradio_4_and_5_in_docker_are_those_that_the_applications_logged() {
    let test = "the_jobs_of_gradio_4_and_5_in_docker_are_those_that_the_applications_logged";
    let started = Docker::own(Network::Bridge).and_then(|docker| {
        let socket = docker.socket().display();
        Ok((agent(&format!("[docker]\nsocket = \"{socket}\"\n"))?, docker))
    });
    let (agent, docker) = match started {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    thread::scope(|scope| {
        for version in ["5.50.0", "4.44.1"] {
            let (agent, docker) = (&agent, &docker);
            scope.spawn(move || {
                let name = format!("gradio-{version}");
                let started = Gradio::find(version);
                match started.and_then(|gradio| Application::in_docker(gradio, docker, &name)) {
                    Ok(application) => compare(agent, &application),
                    Err(reason) => skip(&format!("{test} ({version})"), &reason),
                }
            });
        }
    });
}

fn compare(agent: &Agent, application: &Application<'_>) {
    let truth = application.drive(&[application.address]);
    assert_complete(&truth);
    assert_same(agent, &application.container, &truth);
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
