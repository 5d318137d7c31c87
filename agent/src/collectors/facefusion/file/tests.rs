use std::{fs, os::unix::fs::symlink, process::Command, time::Duration};

use proptest::prelude::*;

use super::*;

const JOB: &str = r#"{"version": "1", "date_created": "2026-08-05T10:00:00+00:00", "date_updated": null, "steps": [
        {"args": {"processors": ["face_swapper", "mystery"], "source_paths": ["/a.jpg"], "output_path": "/o.mp4"}, "status": "completed"},
        {"args": {"processors": null}, "status": "started"}, {"status": "queued"}]}"#;

#[test]
fn the_status_and_the_processors_of_the_steps_are_read() {
    let job = parse(JOB.as_bytes()).unwrap();
    let status: Vec<_> = job.steps.iter().map(|step| step.status).collect();
    assert_eq!(status, [StepStatus::Completed, StepStatus::Started, StepStatus::Queued]);
    let used = |position: usize| {
        let step = &job.steps[position];
        PROCESSORS
            .iter()
            .zip(step.processors)
            .filter(|(_, used)| *used)
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
    };
    assert_eq!(used(0), ["face_swapper", "other"]);
    assert!(used(1).is_empty() && used(2).is_empty());
}

#[test]
fn half_a_file_and_what_is_no_job_is_unreadable() {
    for end in [0, 1, 40, JOB.len() - 1] {
        assert_eq!(parse(&JOB.as_bytes()[..end]), Err(Unread::Unreadable), "{end}");
    }
    let nested = "[".repeat(100_000);
    for text in ["[]", "{}", r#"{"steps": 3}"#, r#"{"steps": [{"status": "asleep"}]}"#, &nested] {
        assert_eq!(parse(text.as_bytes()), Err(Unread::Unreadable));
    }
    let nested = format!(r#"{{"steps": [], "x": {}}}"#, "[".repeat(100_000));
    assert_eq!(parse(nested.as_bytes()), Err(Unread::Unreadable));
}

#[test]
fn only_small_regular_files_are_read() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("job.json"), JOB).unwrap();
    fs::write(at("large.json"), vec![b' '; BYTES_MAX as usize + 1]).unwrap();
    fs::create_dir(at("directory.json")).unwrap();
    symlink("job.json", at("link.json")).unwrap();
    symlink("/etc/shadow", at("shadow.json")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe.json")).status().unwrap().success());
    let directory = Directory::at(root.path()).unwrap();
    let read = |name: &str| read(&directory, Path::new(name), &mut Budget::default());
    assert!(read("job.json").is_ok());
    assert_eq!(read("large.json"), Err(Unread::TooLarge));
    let begun = Instant::now();
    for name in ["link.json", "shadow.json", "pipe.json", "directory.json"] {
        assert_eq!(read(name), Err(Unread::Special), "{name}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "a named pipe must not block");
    for name in ["missing.json", "../job.json", "/etc/passwd"] {
        assert!(read(name).is_err(), "{name}");
    }
}

#[test]
fn a_container_cannot_have_more_read_than_its_budget() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("job.json"), JOB).unwrap();
    let directory = Directory::at(root.path()).unwrap();
    let mut budget = Budget::default();
    let reads = (0..100_000).take_while(|_| read(&directory, Path::new("job.json"), &mut budget).is_ok());
    assert!((1..10_000).contains(&reads.count()));
    assert_eq!(read(&directory, Path::new("job.json"), &mut budget), Err(Unread::OverBudget));
    assert!(read(&directory, Path::new("job.json"), &mut Budget::default()).unwrap().modified.is_some());
}

#[test]
fn of_a_long_list_of_processors_only_the_begin_is_looked_at() {
    let job = |list: &str| {
        let text = format!(r#"{{"steps": [{{"args": {{"processors": {list}}}, "status": "queued"}}]}}"#);
        parse(text.as_bytes()).unwrap().steps[0].processors
    };
    let odd = r#"[1, -1, 1.5, true, null, {"a": []}, ["face_editor"], "face_swapper"]"#;
    assert_eq!(job(odd), PROCESSORS.map(|name| name == "face_swapper"));
    let others = "0,".repeat(PROCESSORS_MAX);
    assert_eq!(job(&format!(r#"[{others} "face_swapper"]"#)), [false; PROCESSORS.len()]);
    for other in ["null", "3", r#""face_swapper""#, r#"{"face_swapper": 1}"#] {
        assert_eq!(job(other), [false; PROCESSORS.len()], "{other}");
    }
    let begun = Instant::now();
    job(&format!("[{}0]", "0,".repeat(500_000)));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

proptest! {
    #[test]
    fn no_file_panics(bytes in any::<Vec<u8>>(), cut in 0..JOB.len()) {
        let _ = parse(&bytes);
        let _ = parse(&JOB.as_bytes()[..cut.min(JOB.len())]);
    }
}
