//! The program itself: its log agrees with its files, its children and itself.

use std::{fs, path::Path, time::Duration};

use glassbox_tests::{
    docker::{Docker, Network},
    facefusion::{
        MARKER, Player, Setup,
        scenario::{FRAMES, RATE_FPS, scenario, step, submitted},
        truth::{OTHER, Truth},
    },
};
use serde_json::json;

use super::or_skip;

/// Time for a scenario on a busy host.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
/// The steps of a scenario that process frames: two steps, a retry, a stop, a click.
const RUNS: usize = 5;

/// Asserts that the log of [`of_all_outcomes`](glassbox_tests::facefusion::scenario::of_all_outcomes) agrees with its plan,
/// with the program's files and children, and with itself.
pub(super) fn assert_consistent(version: &str, player: &Player<'_>, truth: &Truth) {
    match version {
        "3.5.2" => assert_3_5(truth),
        _ => assert_3_8(truth),
    }
    assert_counts(truth);
    assert_files(player);
    assert_times(truth);
}

/// Frames are files, and an ffmpeg that extracts them fails.
fn assert_3_5(truth: &Truth) {
    assert_ended(
        truth,
        &[("none", 3), ("processing_error", 1), ("refused_by_content_filter", 1), ("unknown", 1)],
    );
    // The video of the failed job is cut off, and one has no sound.
    assert_eq!(truth.exit_codes("ffmpeg").into_iter().collect::<Vec<_>>(), [0, 1]);
    assert!(truth.exit_codes("ffprobe").is_empty(), "{truth:?}");
    assert_eq!(truth.runs.len(), RUNS, "{:?}", truth.runs);
    let phases = truth.phases_ns();
    let names: Vec<&str> = phases.keys().copied().collect();
    assert_eq!(names, ["audio", "content_filter", "download", "extract", "merge", OTHER, "process"]);
}

/// Frames go through pipes, and an ffmpeg that writes the video is killed. FaceFusion handles that as a user's stop.
fn assert_3_8(truth: &Truth) {
    assert_ended(truth, &[("none", 3), ("refused_by_content_filter", 1), ("unknown", 2)]);
    // Readers are killed when the sound has been restored, and the writer of the failed job.
    assert_eq!(truth.exit_codes("ffmpeg").into_iter().collect::<Vec<_>>(), [-9, 0, 1]);
    assert_eq!(truth.exit_codes("ffprobe").into_iter().collect::<Vec<_>>(), [0]);
    // The writer of the failed job had received its frames.
    assert_eq!(truth.runs.len(), RUNS + 1, "{:?}", truth.runs);
    let phases = truth.phases_ns();
    let names: Vec<&str> = phases.keys().copied().collect();
    assert_eq!(names, ["audio", "content_filter", "download", "merge", OTHER, "probe", "process"]);
}

/// `expected` has the reasons in alphabetical order.
fn assert_ended(truth: &Truth, expected: &[(&str, u64)]) {
    let ended: Vec<_> = truth.ended.iter().map(|((_, reason), jobs)| (reason.as_str(), *jobs)).collect();
    assert_eq!(ended, expected, "{truth:?}");
}

fn assert_counts(truth: &Truth) {
    assert_eq!(truth.jobs(), 6, "{truth:?}");
    assert_eq!(truth.retries, 1);
    assert_eq!([truth.waits_ns.len(), truth.durations_ns.len()], [6, 6]);
    let statuses = ["drafted", "queued", "running"].map(|status| truth.jobs_in(status));
    assert_eq!(statuses, [1, 1, 0], "{truth:?}");
}

fn assert_files(player: &Player<'_>) {
    let files = |directory: &str| -> Vec<String> {
        let entries =
            fs::read_dir(player.path(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let counts =
        ["drafted", "queued", "completed", "failed"].map(|status| files(&format!(".jobs/{status}")).len());
    assert_eq!(counts, [1, 1, 3, 2]);
    assert!(files(".jobs/queued").iter().all(|name| name.contains(MARKER)));
    assert_eq!(files("output").iter().filter(|name| name.ends_with(".mp4")).count(), 3);
}

fn assert_times(truth: &Truth) {
    // The phases of all jobs and the rest add up.
    let sum_ns: u64 = truth.phases_ns().values().map(|(ns, _)| ns).sum();
    assert_eq!(sum_ns, truth.durations_ns.iter().sum::<u64>());
    let other_ns = truth.phases_ns().get(OTHER).map_or(0, |(ns, _)| *ns);
    assert!(other_ns * 5 < sum_ns, "{other_ns} of {sum_ns} ns belong to no phase");

    // Completed steps have processed each frame, at about the planned rate.
    for run in truth.runs.iter().filter(|run| run.frames_ns.len() as u64 == run.total) {
        // The sound is a little longer than the pictures.
        assert!((u64::from(FRAMES)..u64::from(FRAMES) + 3).contains(&run.total), "{} frames", run.total);
        let fps = run.fps().unwrap();
        assert!((fps / f64::from(RATE_FPS) - 1.0).abs() < 0.2, "{fps} frames per second");
    }
}

#[test]
fn in_docker_the_program_has_its_own_root() {
    let Some(docker) = or_skip(Docker::own(Network::None)) else { return };
    for (name, has_bind_mount) in [("overlay", false), ("bind-mount", true)] {
        let run = vec![json!({"do": "run_all"})];
        let mut scenario = scenario("3.8.1", &[submitted("job", &[step("one", &["face_swapper"])]), run]);
        scenario["headless"] = step("two", &["face_enhancer"]);
        let setup = Setup { scenario, has_bind_mount, ..Setup::default() };
        let Some(player) = or_skip(Player::in_docker(&docker, name, &setup)) else { return };
        let truth = player.wait(PATIENCE);
        assert_eq!(truth.ended.into_iter().collect::<Vec<_>>(), [(("completed".into(), "none".into()), 1)]);
        let process = Path::new("/proc").join(player.pid().to_string());
        assert_eq!(fs::read(process.join("cmdline")).unwrap(), b"python\0facefusion.py\0run\0");
        assert_eq!(fs::read_link(process.join("cwd")).unwrap(), Path::new("/facefusion"));
        assert!(!Path::new("/facefusion").exists(), "the host has this directory, too");
        assert_eq!(player.headless(&[]), Some(0));
        assert_eq!(player.truth().jobs(), 2);
        let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
        assert_eq!(mounts.contains(" /facefusion/.jobs "), has_bind_mount);
        assert_eq!(fs::read_dir(player.path(".jobs/completed")).unwrap().count(), 2);
    }
}
