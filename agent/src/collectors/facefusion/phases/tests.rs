use super::*;
use crate::snapshot::facefusion::{Encoder, Resolution};

const FRAME_BYTES: u64 = 320 * 240 * 3;
const VIDEO: Video = Video { resolution: Resolution::Sd, encoder: Encoder::Cpu };

/// When the step of a job started.
fn step_start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

struct Job {
    phases: Phases,
    counters: FaceFusionCounters,
    now: Instant,
}

impl Job {
    fn new() -> Self {
        let now = Instant::now();
        Self { phases: Phases::new(Some(step_start()), now), counters: FaceFusionCounters::default(), now }
    }

    /// Samples half a second later.
    fn sample(&mut self, running: &[(u32, Child, u64, u64)], files: Option<FrameFiles>) -> Phase {
        self.now += Duration::from_millis(500);
        let running: Vec<_> = running
            .iter()
            .map(|(process, child, read_bytes, written_bytes)| Running {
                process: *process,
                // The processes with IDs from 100 on were started by a preview.
                started: step_start().checked_sub(EARLY * if *process < 100 { 1 } else { 2 }),
                child: child.clone(),
                is_over: false,
                read_bytes: *read_bytes,
                written_bytes: *written_bytes,
            })
            .collect();
        self.phases.sample(&running, files, &mut self.counters, self.now);
        self.phases.phase()
    }

    fn seconds(&self, phase: Phase) -> f64 {
        self.counters.phases_ns[phase as usize] as f64 / 1e9
    }
}

const NONE: Option<FrameFiles> = None;

/// A process that has read this number of frames from the start of the video.
fn reader(process: u32, frames: u64) -> (u32, Child, u64, u64) {
    (process, Child::Reader { is_from_start: true }, 0, frames * FRAME_BYTES)
}

fn writer(frames: u64) -> (u32, Child, u64, u64) {
    (9, Child::Writer { frame_bytes: FRAME_BYTES, video: VIDEO }, frames * FRAME_BYTES + 70_000, 0)
}

#[test]
fn a_job_with_pipes_has_its_phases_frames_and_progress() {
    let mut job = Job::new();
    assert_eq!(job.sample(&[(1, Child::Download, 0, 0)], NONE), Phase::Download);
    assert_eq!(job.sample(&[(2, Child::Probe, 0, 0)], NONE), Phase::Probe);
    assert_eq!(job.sample(&[reader(100, 50)], NONE), Phase::Other, "that of a preview");
    assert!(!job.phases.has_readers());
    let filter = |frames: u64| reader(3, frames);
    assert_eq!(job.sample(&[filter(40)], NONE), Phase::ContentFilter);
    assert_eq!(job.sample(&[filter(100)], NONE), Phase::ContentFilter);
    assert!(job.phases.was_only_filtered());
    for frames in [0, 10, 20, 30, 40, 50] {
        assert_eq!(
            job.sample(
                &[filter(100), reader(100, 50), reader(4, 1), reader(5, frames), writer(frames)],
                NONE
            ),
            Phase::Process
        );
    }
    assert!(job.phases.was_processed() && !job.phases.was_only_filtered());
    assert_eq!((job.phases.frames_per_second(), job.phases.progress_ratio()), (Some(20.0), Some(0.5)));
    assert_eq!((job.counters.frames, job.phases.video()), (50, Some(VIDEO)));
    assert_eq!(job.sample(&[filter(100)], NONE), Phase::Other, "its reader is left over");
    assert_eq!(job.sample(&[(5, Child::Audio, 0, 0)], NONE), Phase::Audio);
    assert_eq!((job.phases.frames_per_second(), job.phases.progress_ratio()), (None, None));
    assert_eq!((job.seconds(Phase::ContentFilter), job.seconds(Phase::Process)), (1.0, 3.0));
    assert_eq!(job.counters.phases_ns.iter().sum::<u64>(), 6_500_000_000);
}

#[test]
fn a_job_with_files_has_its_phases_frames_and_progress() {
    let mut job = Job::new();
    let extract = (1, Child::Extract { directory: "/tmp".into() }, 0, 0);
    assert_eq!(job.sample(&[extract], Some(FrameFiles { processed: 0, total: 60 })), Phase::Extract);
    for processed in [0, 20, 30, 40, 50] {
        let files = FrameFiles { processed, total: 100 };
        assert_eq!(job.sample(&[], Some(files)), Phase::Process);
    }
    assert_eq!(job.phases.progress_ratio(), Some(0.5));
    assert_eq!(job.phases.frames_per_second(), Some(20.0));
    let merge = (2, Child::Merge { video: Some(VIDEO) }, 0, 0);
    assert_eq!(job.sample(&[merge], Some(FrameFiles { processed: 100, total: 100 })), Phase::Merge);
    assert_eq!(job.phases.progress_ratio(), None);
    assert_eq!(job.sample(&[], NONE), Phase::Other);
    assert_eq!((job.counters.frames, job.phases.video()), (100, Some(VIDEO)));
    // The files of the step before are none of the next one.
    job.phases.next_step(None);
    assert_eq!(job.sample(&[writer(9)], Some(FrameFiles { processed: 100, total: 100 })), Phase::Process);
    assert_eq!(job.counters.frames, 109);
}

#[test]
fn progress_does_not_depend_on_the_size_of_the_frames_that_are_written() {
    let mut job = Job::new();
    // FaceFusion has stopped this reader at the end of the part that it processes.
    job.sample(&[(3, Child::Reader { is_from_start: true }, 0, 100 * FRAME_BYTES + 5)], NONE);
    let small = |frames: u64| {
        (9, Child::Writer { frame_bytes: FRAME_BYTES / 4, video: VIDEO }, frames * FRAME_BYTES / 4, 0)
    };
    job.sample(&[reader(4, 26), small(25)], NONE);
    assert!(job.phases.progress_ratio().is_some_and(|ratio| (ratio - 0.26).abs() < 0.001));
    assert_eq!(job.counters.frames, 25);
    job.phases.next_step(None);
    assert!(!job.phases.was_processed());
    job.sample(&[reader(4, 26), writer(20)], NONE);
    assert_eq!(job.phases.progress_ratio(), None, "the filter was not seen");
}

#[test]
fn the_progress_in_a_video_that_is_not_read_from_its_start_is_unknown() {
    let later =
        |process, frames: u64| (process, Child::Reader { is_from_start: false }, 0, frames * FRAME_BYTES);
    let mut job = Job::new();
    assert_eq!(job.sample(&[later(3, 100)], NONE), Phase::ContentFilter);
    job.sample(&[later(4, 10), writer(9)], NONE);
    assert_eq!(job.phases.progress_ratio(), None);
}

#[test]
fn two_videos_that_are_written_at_a_time_are_counted_once() {
    let mut job = Job::new();
    let other = |frames: u64| {
        let (_, child, bytes, _) = writer(frames);
        (10, child, bytes, 0)
    };
    job.sample(&[writer(10), other(100)], NONE);
    job.sample(&[writer(20), other(110)], NONE);
    assert_eq!(job.counters.frames, 130);
    // One of the jobs starts its next step, with another process.
    job.phases.next_step(None);
    job.sample(&[other(120)], NONE);
    assert_eq!(job.counters.frames, 140);
    job.sample(&[writer(5), other(120)], NONE);
    assert_eq!(job.counters.frames, 145, "another process with the same ID");
    let broken = (11, Child::Writer { frame_bytes: 1, video: VIDEO }, u64::MAX, 0);
    job.sample(&[broken.clone(), (12, broken.1, u64::MAX, 0)], NONE);
    assert_eq!(job.counters.frames, u64::MAX);
}

#[test]
fn a_job_whose_files_cannot_be_followed_does_not_seem_to_make_no_progress() {
    let mut job = Job::new();
    let extract = (1, Child::Extract { directory: "/tmp".into() }, 0, 0);
    assert_eq!(job.sample(&[extract], NONE), Phase::Extract);
    assert_eq!(job.sample(&[], NONE), Phase::Other);
    assert!(job.phases.was_processed());
    assert_eq!((job.phases.frames_per_second(), job.phases.progress_ratio()), (None, None));
}

#[test]
fn the_writer_of_a_job_that_stopped_counts_only_if_it_is_used_again() {
    let mut job = Job::new();
    let old = |frames: u64| {
        let (_, child, bytes, _) = writer(frames);
        (101, child, bytes, 0)
    };
    assert_eq!(job.sample(&[old(70)], NONE), Phase::Other);
    assert_eq!(job.sample(&[old(70), reader(3, 100)], NONE), Phase::ContentFilter);
    assert_eq!((job.phases.video(), job.phases.was_processed(), job.counters.frames), (None, false, 0));
    assert_eq!(job.sample(&[old(71), reader(3, 100)], NONE), Phase::Process);
    assert_eq!((job.phases.video(), job.counters.frames), (Some(VIDEO), 1));
}
