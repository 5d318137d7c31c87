//! Where the job files are: `--jobs-path`, facefusion.ini, and a second process of a container; and slow writers.

use glassbox_tests::{
    docker::eventually,
    facefusion::{
        MARKER, Player, Setup,
        scenario::{scenario, step, submitted},
    },
};
use serde_json::{Value, json};

use super::{
    agent,
    compared::{assert_same, assert_speed},
    docker::{agent_and_docker, assert_no_names, watched},
    or_skip,
    player::PATIENCE,
    watch::Scrape,
};

const VERSION: &str = "3.8.1";

fn one_job() -> Value {
    let step = step("one", &["face_swapper", "frame_enhancer"]);
    scenario(VERSION, &[submitted("job", &[step]), vec![json!({"do": "run_all"})]])
}

fn compare_in_a_cgroup(setup: &Setup) {
    let started =
        agent("[docker]\nenabled = false\n").and_then(|agent| Ok((agent, Player::in_cgroup(setup)?)));
    let Some((agent, player)) = or_skip(started) else { return };
    let (truth, scrapes) = watched(&agent, &player);
    assert_eq!(truth.jobs(), 1, "{truth:?}");
    assert_same(&agent, &player.container, &truth, VERSION);
    assert_speed(&scrapes, &truth);
    assert_no_names(&agent);
}

#[test]
fn jobs_are_found_in_the_directory_of_the_command_line() {
    let arguments = vec!["--execution-providers".to_owned(), "cuda".to_owned(), "--jobs-path".to_owned()];
    let arguments = [arguments, vec![format!("{MARKER}/jobs")]].concat();
    compare_in_a_cgroup(&Setup { scenario: one_job(), arguments, ..Setup::default() });
}

#[test]
fn jobs_are_found_in_the_directory_of_facefusion_ini() {
    let ini = Some(format!("[misc]\nlog_level = info\n[paths]\ntemp_path =\njobs_path = {MARKER}/of-ini\n"));
    compare_in_a_cgroup(&Setup { scenario: one_job(), ini, ..Setup::default() });
}

#[test]
fn half_written_job_files_are_read_again() {
    let mut scenario = one_job();
    scenario["slow_write_s"] = json!(0.35);
    compare_in_a_cgroup(&Setup { scenario, ..Setup::default() });
}

#[test]
fn a_headless_run_beside_the_user_interface_is_counted_once() {
    let Some((agent, docker)) = or_skip(agent_and_docker()) else { return };
    let mut scenario = scenario(VERSION, &[]);
    scenario["headless"] = step("one", &["face_swapper"]);
    let setup = Setup { scenario, ..Setup::default() };
    let Some(player) = or_skip(Player::in_docker(&docker, "both", &setup)) else { return };
    // FaceFusion needs seconds to load its libraries. The program that plays it does not, so it could start before the agent
    // has looked into the container.
    eventually("FaceFusion is found", PATIENCE, || {
        Scrape::of(&agent, &player.container).sum("unfinished_jobs", &[("status", "drafted")])
    });
    let target = ["--target-path", &format!("{MARKER}-one.mp4"), "--processors", "face_swapper"];
    assert_eq!(player.headless(&target.map(str::to_owned)), Some(0));
    let truth = player.truth();
    assert_eq!(truth.jobs(), 1, "{truth:?}");
    assert_same(&agent, &player.container, &truth, VERSION);
    assert_no_names(&agent);
}
