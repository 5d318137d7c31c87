//! Scenarios for the program that plays FaceFusion.

use serde_json::{Value, json};

use super::MARKER;

/// Width of the videos in pixels.
pub const WIDTH: u32 = 320;
/// Height of the videos in pixels.
pub const HEIGHT: u32 = 240;
/// Frames per second of the videos.
pub const FPS: u32 = 25;
/// Length of the videos in s.
pub const SECONDS: u32 = 8;
/// Frames of a video.
pub const FRAMES: u32 = FPS * SECONDS;
/// Frames that a step processes per second of real time.
pub const RATE_FPS: u32 = 40;

/// A step on the video of this name.
#[must_use]
pub fn step(video: &str, processors: &[&str]) -> Value {
    json!({
        "target": format!("{MARKER}-{video}.mp4"),
        "processors": processors,
        "rate_fps": RATE_FPS,
        "filter_s": 1.0,
        // What a library measures in 3.5, without a child.
        "video": [WIDTH, HEIGHT, f64::from(FPS), f64::from(SECONDS), FRAMES],
    })
}

/// A step with one further key.
#[must_use]
pub fn step_with(video: &str, processors: &[&str], key: &str, value: Value) -> Value {
    let mut step = step(video, processors);
    step[key] = value;
    step
}

/// An action on a job.
#[must_use]
pub fn job(action: &str, name: &str) -> Value {
    json!({"do": action, "job": format!("{MARKER}-{name}")})
}

/// Creates a job with these steps and submits it.
#[must_use]
pub fn submitted(name: &str, steps: &[Value]) -> Vec<Value> {
    let mut actions = vec![job("create", name)];
    for step in steps {
        let mut action = job("add", name);
        action["step"] = step.clone();
        actions.push(action);
    }
    actions.push(job("submit", name));
    actions
}

/// Lets time pass.
#[must_use]
pub fn wait(seconds: f64) -> Value {
    json!({"do": "wait", "seconds": seconds})
}

/// A scenario of all these actions. It begins with a wait, in which the agent finds the process.
#[must_use]
pub fn scenario(version: &str, actions: &[Vec<Value>]) -> Value {
    let mut all = vec![wait(2.0)];
    all.extend(actions.iter().flatten().cloned());
    json!({"version": version, "actions": all})
}

/// Short jobs, again and again: of each `jobs` jobs that are submitted together, the last one fails. It never ends.
#[must_use]
pub fn endless(version: &str, jobs: usize, rate_fps: u32) -> Value {
    let completes = step_with("one", &["face_swapper"], "rate_fps", json!(rate_fps));
    // The frames have been processed by then, so the agent knows the reason.
    let fault = if version.starts_with("3.5") { "merge_killed" } else { "writer_killed" };
    let mut fails = completes.clone();
    fails["faults"] = json!([fault]);
    let name = |number: usize| format!("job-{number}");
    let submissions = (1..=jobs).map(|number| {
        let step = if number < jobs { &completes } else { &fails };
        submitted(&name(number), std::slice::from_ref(step))
    });
    let run = std::iter::once(vec![json!({"do": "run_all"}), wait(0.5)]);
    // The jobs of the next round have the same names, so the number of files does not grow.
    let deletions = (1..=jobs).map(|number| vec![job("delete", &name(number))]);
    let actions: Vec<Value> = submissions.chain(run).chain(deletions).flatten().collect();
    json!({"version": version, "is_endless": true, "actions": actions})
}

/// The jobs of an ordinary day: two steps, a retry that succeeds, a refusal, a user's stop, a video without sound, a draft, a job
/// that stays in the queue, and one that is deleted from it. They take some 50 s.
#[must_use]
pub fn of_all_outcomes(version: &str) -> Value {
    let swap = ["face_swapper"];
    let failure = if version.starts_with("3.5") { "extract_fails" } else { "writer_killed" };
    let download = step_with("one", &["face_swapper", "face_enhancer"], "download_s", json!(1.0));
    let mut clicked = json!({"do": "instant"});
    clicked["step"] = step("silent", &["lip_syncer"]);
    scenario(
        version,
        &[
            submitted("two-steps", &[download, step("two", &swap)]),
            submitted("fails-once", &[step_with("one", &swap, "faults", json!([failure, null]))]),
            vec![wait(1.5), job("run", "two-steps"), wait(0.5), job("run", "fails-once"), wait(1.0)],
            vec![job("retry", "fails-once"), wait(0.5)],
            submitted("refused", &[step_with("three", &swap, "faults", json!(["refused"]))]),
            submitted("stopped", &[step_with("two", &swap, "faults", json!(["stopped"]))]),
            vec![json!({"do": "run_all"}), wait(0.5), clicked],
            submitted("deleted", &[step("one", &swap)]),
            submitted("stays", &[step("one", &swap)]),
            vec![wait(1.0), job("delete", "deleted"), job("create", "draft"), wait(1.0)],
        ],
    )
}
