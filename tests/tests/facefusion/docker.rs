//! Both versions in real containers, at the same time. `.jobs` of one of them is a bind mount, as with the Compose file of the
//! official images.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use glassbox_tests::{
    agent::Agent,
    docker::{Docker, Network},
    facefusion::{
        MARKER, Player, Setup,
        scenario::{of_all_outcomes, scenario, step, step_with, submitted, wait},
        truth::Truth,
    },
    http, skip,
};
use serde_json::json;

use super::{
    agent,
    compared::{assert_same, assert_speed},
    or_skip,
    player::{PATIENCE, assert_consistent},
    watch::{Scrape, scrapes},
};

/// An agent that knows the containers of a new daemon.
pub(super) fn agent_and_docker() -> Result<(Agent, Docker), String> {
    let docker = Docker::own(Network::None)?;
    let agent = agent(&format!("[docker]\nsocket = \"{}\"\n", docker.socket().display()))?;
    Ok((agent, docker))
}

/// Plays a scenario, and scrapes meanwhile.
pub(super) fn watched(agent: &Agent, player: &Player<'_>) -> (Truth, Vec<Scrape>) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| scrapes(agent, &player.container, &is_over));
        let truth = player.wait(PATIENCE);
        is_over.store(true, Ordering::Relaxed);
        (truth, scraper.join().unwrap())
    })
}

/// Asserts that nothing from file names, paths and arguments is in what the agent publishes.
pub(super) fn assert_no_names(agent: &Agent) {
    for path in ["/metrics", "/", "/api/v1/containers"] {
        let answer = http::get(agent.address, path).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert_names_absent(path, &answer.body);
    }
    assert_names_absent("the log", &agent.log());
}

fn assert_names_absent(place: &str, text: &str) {
    // The last one is from /etc/shadow. A description may name the directory of job files.
    for name in [MARKER, "/facefusion/", ".jobs", "temp.mp4", ":99999:"] {
        let found = text.lines().find(|line| line.contains(name) && !line.starts_with("# HELP"));
        assert!(found.is_none(), "{name} in {place}: {}", found.unwrap_or_default());
    }
}

#[test]
fn the_jobs_of_3_5_and_3_8_in_docker_are_those_that_the_programs_logged() {
    let Some((agent, docker)) = or_skip(agent_and_docker()) else { return };
    thread::scope(|scope| {
        for (name, version, has_bind_mount) in [("disk", "3.5.2", true), ("memory", "3.8.1", false)] {
            let (agent, docker) = (&agent, &docker);
            let test = move || {
                let setup = Setup { scenario: of_all_outcomes(version), has_bind_mount, ..Setup::default() };
                let player = match Player::in_docker(docker, name, &setup) {
                    Ok(player) => player,
                    Err(reason) => return skip(&format!("FaceFusion {version} in Docker"), &reason),
                };
                let (truth, scrapes) = watched(agent, &player);
                assert_consistent(version, &player, &truth);
                assert_same(agent, &player.container, &truth, version);
                assert_speed(&scrapes, &truth);
            };
            scope.spawn(test);
        }
    });
    assert_no_names(&agent);
}

#[test]
fn a_crash_in_the_middle_of_a_job_is_no_completed_job() {
    let Some((agent, docker)) = or_skip(agent_and_docker()) else { return };
    let step = step_with("one", &["face_swapper"], "faults", json!(["crash"]));
    let run = vec![json!({"do": "run_all"})];
    let setup =
        Setup { scenario: scenario("3.8.1", &[submitted("crashes", &[step]), run]), ..Setup::default() };
    let Some(player) = or_skip(Player::in_docker(&docker, "crash", &setup)) else { return };
    let (truth, _) = watched(&agent, &player);
    assert!(truth.has_crashed && truth.jobs() == 0, "{truth:?}");
    // Its file remains in the queue, but nothing processes it any more.
    glassbox_tests::docker::eventually("the job is abandoned", PATIENCE, || {
        let scrape = Scrape::of(&agent, "crash");
        (scrape.count("jobs_total", &[("outcome", "abandoned")]) == 1.0
            && scrape.count("unfinished_jobs", &[("status", "running")]) == 0.0)
            .then_some(())
    });
    assert_eq!(Scrape::of(&agent, "crash").count("jobs_total", &[]), 1.0);
    assert_no_names(&agent);
}

#[test]
fn a_job_that_stops_with_an_exception_is_abandoned_when_the_next_one_starts() {
    let Some((agent, docker)) = or_skip(agent_and_docker()) else { return };
    let swap = ["face_swapper"];
    // The writer cannot open its encoder, so that writing the first frame raises an exception.
    let raises = step_with("one", &swap, "faults", json!(["writer_dies"]));
    let run = vec![json!({"do": "run_all"}), wait(2.0)];
    let actions = [submitted("raises", &[raises]), submitted("works", &[step("two", &swap)]), run];
    let setup = Setup { scenario: scenario("3.8.1", &actions), ..Setup::default() };
    let Some(player) = or_skip(Player::in_docker(&docker, "exception", &setup)) else { return };
    let (truth, _) = watched(&agent, &player);
    assert_eq!(truth.jobs(), 1, "{truth:?}");
    let scrape = Scrape::of(&agent, "exception");
    let ended = |outcome, reason| scrape.count("jobs_total", &[("outcome", outcome), ("reason", reason)]);
    assert_eq!((ended("completed", "none"), ended("abandoned", "processing_error")), (1.0, 1.0));
    assert_eq!(scrape.count("jobs_total", &[]), 2.0);
    let unfinished = |status| scrape.count("unfinished_jobs", &[("status", status)]);
    assert_eq!((unfinished("running"), unfinished("queued"), unfinished("stopped")), (0.0, 0.0, 1.0));
    assert_no_names(&agent);
}
