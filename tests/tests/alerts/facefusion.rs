//! A program that plays FaceFusion: jobs that fail, and then one that finishes no frame while more and more others wait.

use glassbox_tests::{
    docker::Docker,
    facefusion::{
        Player, Setup,
        scenario::{job, scenario, step, step_with, submitted, wait},
    },
};
use serde_json::{Value, json};

/// The name of the container.
pub(super) const CONTAINER: &str = "facefusion";
/// The alerts, in the order in which they fire.
pub(super) const ALERTS: [&str; 3] = ["FaceFusionJobsFail", "FaceFusionNoProgress", "FaceFusionQueueGrows"];

const VERSION: &str = "3.8.1";
const PROCESSORS: [&str; 1] = ["face_swapper"];
/// Number of jobs that fail. FaceFusionJobsFail needs five if their reason is unknown, and the agent may need six seconds to find
/// the program.
const FAILING: usize = 9;
/// Their frames per second. Each takes two seconds, so that the agent sees the processing; otherwise the content filter would be
/// the reason, which is no fault.
const FAILING_FPS: f64 = 100.0;
/// Frames per second of the job that hangs: its first one takes longer than the test.
const HANGING_FPS: f64 = 0.001;
/// Number of jobs that wait. The last ones are submitted after the test.
const WAITING: usize = 100;
/// FaceFusionQueueGrows needs three waiting jobs for 30 s, and three more in this time, so these are submitted at once.
const WAITING_AT_ONCE: usize = 3;
/// Time between the others, in s.
const SUBMIT_PERIOD_S: f64 = 3.0;

/// Starts the program, or returns the reason to skip these alerts.
pub(super) fn start(docker: &Docker) -> Result<Player<'_>, String> {
    let failing = (0..FAILING).flat_map(|number| {
        let mut step = step_with("one", &PROCESSORS, "rate_fps", json!(FAILING_FPS));
        step["faults"] = json!(["writer_killed"]);
        let name = format!("fails-{number}");
        [submitted(&name, &[step]), vec![job("run", &name), wait(0.5)]]
    });
    let hangs = step_with("two", &PROCESSORS, "rate_fps", json!(HANGING_FPS));
    // The other jobs are submitted while it runs.
    let hanging = [submitted("hangs", &[hangs]), vec![job("start", "hangs")]];
    let waiting = (0..WAITING).flat_map(|number| {
        let pause_s = if number < WAITING_AT_ONCE { 0.0 } else { SUBMIT_PERIOD_S };
        [submitted(&format!("waits-{number}"), &[step("one", &PROCESSORS)]), vec![wait(pause_s)]]
    });
    let actions: Vec<Vec<Value>> = failing.chain(hanging).chain(waiting).collect();
    let setup = Setup { scenario: scenario(VERSION, &actions), ..Setup::default() };
    Player::in_docker(docker, CONTAINER, &setup)
}
