use super::*;
use crate::snapshot::facefusion::{Encoder, Resolution};

const FRAME_BYTES: u64 = 320 * 240 * 3;
const VIDEO: Video = Video { resolution: Resolution::Sd, encoder: Encoder::Cpu };

struct Job {
    phases: Phases,
    counters: FaceFusionCounters,
    now: Instant,
}

impl Job {
    fn new() -> Self {
        let now = Instant::now();
        Self { phases: Phases::new(now), counters: FaceFusionCounters::default(), now }
    }

    /// Samples half a second later.
    fn sample(&mut self, running: &[(u32, Child, u64, u64)], files: Option<FrameFiles>) -> Phase {
        self.now += Duration::from_millis(500);
        let running: Vec<_> = running
            .iter()
            .map(|(process, child, read_bytes, written_bytes)| Running {
                process: *process,
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

fn writer(frames: u64) -> (u32, Child, u64, u64) {
    (9, Child::Writer { frame_bytes: FRAME_BYTES, video: VIDEO }, frames * FRAME_BYTES + 70_000, 0)
}

#[test]
fn a_job_with_pipes_has_its_phases_frames_and_progress() {
    let mut job = Job::new();
    assert_eq!(job.sample(&[(1, Child::Download, 0, 0)], NONE), Phase::Download);
    assert_eq!(job.sample(&[(2, Child::Probe, 0, 0)], NONE), Phase::Probe);
    let filter = |frames: u64| (3, Child::Reader, 0, frames * FRAME_BYTES);
    assert_eq!(job.sample(&[filter(40)], NONE), Phase::ContentFilter);
    assert_eq!(job.sample(&[filter(100)], NONE), Phase::ContentFilter);
    assert!(job.phases.was_only_filtered());
    for frames in [0, 10, 20, 30, 40, 50] {
        assert_eq!(
            job.sample(&[filter(100), (4, Child::Reader, 0, 1), writer(frames)], NONE),
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
    assert_eq!(job.counters.phases_ns.iter().sum::<u64>(), 6_000_000_000);
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
    assert_eq!(job.sample(&[(2, Child::Merge { video: Some(VIDEO) }, 0, 0)], NONE), Phase::Merge);
    assert_eq!(job.sample(&[], NONE), Phase::Other);
    assert_eq!((job.counters.frames, job.phases.video()), (50, Some(VIDEO)));
}

#[test]
fn the_total_is_unknown_if_the_frames_differ_in_size() {
    let mut job = Job::new();
    job.sample(&[(3, Child::Reader, 0, 100 * FRAME_BYTES + 5)], NONE);
    job.sample(&[writer(10)], NONE);
    assert_eq!(job.phases.progress_ratio(), None);
    job.phases.next_step();
    assert!(!job.phases.was_processed());
    job.sample(&[writer(20)], NONE);
    assert_eq!(job.phases.progress_ratio(), None, "the filter was not seen");
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
    job.phases.next_step();
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
