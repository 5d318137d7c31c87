//! What the running jobs of a container do, from the programs that run beside them. Pure.
//!
//! From 3.8 on, FaceFusion sends frames through pipes: the ffmpeg that writes the video reads them, so its bytes are the frames.
//! The content filter has read the whole video before, so the bytes of that ffmpeg are the total. Up to 3.7, frames are
//! files, which are written once when they are extracted and once more when they are processed.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::children::Child;
use crate::snapshot::facefusion::{FaceFusionCounters, Phase, Video};

/// The frame rate is that of this time.
const WINDOW: Duration = Duration::from_secs(5);
/// Minimum time for a frame rate.
const WINDOW_MIN: Duration = Duration::from_millis(900);
/// Maximum number of processes that write videos at a time.
const WRITERS_MAX: usize = 64;

/// A running program, or one that has just ended, and the bytes that it has read and written so far, pipes included.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Running {
    pub(super) process: u32,
    pub(super) child: Child,
    pub(super) is_over: bool,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// Frames in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameFiles {
    /// Files that were written again after their extraction.
    pub(super) processed: u64,
    /// All files.
    pub(super) total: u64,
}

/// The running jobs of one container.
#[derive(Debug)]
pub(super) struct Phases {
    phase: Phase,
    sampled: Instant,
    step: Step,
    /// The processes that write videos, with the frames counted of each. A container may run several jobs, so they are kept
    /// when one of these starts its next step.
    writers: HashMap<u32, u64>,
}

/// What is known of the current step.
#[derive(Debug, Default)]
struct Step {
    /// True if ffmpeg has read the video.
    has_readers: bool,
    /// True if that was for the content filter.
    filtered: bool,
    /// True if frames were extracted or processed.
    processed: bool,
    /// True after the extraction, until the video is made.
    has_frame_files: bool,
    /// The process that reads the video for the content filter.
    filter: Option<u32>,
    /// The bytes of the whole video as frames.
    video_bytes: u64,
    frames: u64,
    progress_ratio: Option<f64>,
    video: Option<Video>,
    recent: VecDeque<(Instant, u64)>,
}

impl Phases {
    /// A job has just started.
    pub(super) fn new(now: Instant) -> Self {
        Self { phase: Phase::Other, sampled: now, step: Step::default(), writers: HashMap::new() }
    }

    /// The next step of a job has started.
    pub(super) fn next_step(&mut self) {
        self.step = Step::default();
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// True if the video was read for the content filter, and nothing was processed.
    pub(super) const fn was_only_filtered(&self) -> bool {
        self.step.filtered && !self.step.processed
    }

    /// True if ffmpeg has read the video in the current step.
    pub(super) const fn has_readers(&self) -> bool {
        self.step.has_readers
    }

    /// True if frames were extracted or processed in the current step.
    pub(super) const fn was_processed(&self) -> bool {
        self.step.processed
    }

    pub(super) const fn progress_ratio(&self) -> Option<f64> {
        self.step.progress_ratio
    }

    pub(super) const fn video(&self) -> Option<Video> {
        self.step.video
    }

    /// Frames per second over the last seconds, while frames are processed.
    pub(super) fn frames_per_second(&self) -> Option<f64> {
        let (first, last) = (self.step.recent.front()?, self.step.recent.back()?);
        let seconds = last.0.saturating_duration_since(first.0);
        (seconds >= WINDOW_MIN).then(|| (last.1 - first.1) as f64 / seconds.as_secs_f64())
    }

    /// Adds the time since the last sample to what the job does now, and counts frames. `files` is `None` if the files of frames
    /// are not followed, so that it is unknown whether they are processed.
    pub(super) fn sample(
        &mut self,
        running: &[Running],
        files: Option<FrameFiles>,
        counters: &mut FaceFusionCounters,
        now: Instant,
    ) {
        self.phase = self.step.phase(running, files.is_some());
        let elapsed = now.saturating_duration_since(self.sampled);
        self.sampled = now;
        let time = &mut counters.phases_ns[self.phase as usize];
        *time = time.saturating_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        let frames_before = self.step.frames;
        let written = self.frames_written(running);
        self.step.count_frames(self.phase, running, written, files);
        counters.frames = counters.frames.saturating_add(self.step.frames - frames_before);
        if self.phase == Phase::Process {
            if frames_before == 0 && self.step.frames > 0 {
                // ffmpeg needs a moment until it reads the first frame.
                self.step.recent.clear();
            }
            self.step.recent.push_back((now, self.step.frames));
            while self.step.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW)
            {
                self.step.recent.pop_front();
            }
        } else {
            self.step.recent.clear();
        }
    }
}

impl Phases {
    /// The frames that were written since the last sample, of all processes that write videos.
    fn frames_written(&mut self, running: &[Running]) -> u64 {
        self.writers.retain(|process, _| running.iter().any(|one| one.process == *process));
        let mut written = 0_u64;
        for one in running {
            let Child::Writer { frame_bytes, .. } = &one.child else { continue };
            if self.writers.len() >= WRITERS_MAX && !self.writers.contains_key(&one.process) {
                continue;
            }
            let counted = self.writers.entry(one.process).or_default();
            let frames = one.read_bytes.checked_div(*frame_bytes).unwrap_or(0);
            written = written.saturating_add(frames.saturating_sub(*counted));
            *counted = frames.max(*counted);
        }
        written
    }
}

impl Step {
    fn phase(&mut self, running: &[Running], follows_files: bool) -> Phase {
        let runs = |is: fn(&Child) -> bool| running.iter().any(|one| !one.is_over && is(&one.child));
        let phase = if runs(|child| matches!(child, Child::Download)) {
            Phase::Download
        } else if runs(|child| matches!(child, Child::Writer { .. })) {
            Phase::Process
        } else if runs(|child| matches!(child, Child::Merge { .. })) {
            Phase::Merge
        } else if runs(|child| matches!(child, Child::Audio)) {
            Phase::Audio
        } else if runs(|child| matches!(child, Child::Extract { .. })) {
            Phase::Extract
        } else if self.has_frame_files {
            if follows_files { Phase::Process } else { Phase::Other }
        } else if !self.processed && runs(|child| matches!(child, Child::Reader)) {
            Phase::ContentFilter
        } else if runs(|child| matches!(child, Child::Probe)) {
            Phase::Probe
        } else {
            Phase::Other
        };
        self.has_readers |= runs(|child| matches!(child, Child::Reader));
        self.filtered |= phase == Phase::ContentFilter;
        self.processed |= matches!(phase, Phase::Extract | Phase::Process | Phase::Merge);
        self.has_frame_files = match phase {
            Phase::Extract => true,
            Phase::Merge | Phase::Audio => false,
            _ => self.has_frame_files,
        };
        phase
    }

    fn count_frames(&mut self, phase: Phase, running: &[Running], written: u64, files: Option<FrameFiles>) {
        self.frames = self.frames.saturating_add(written);
        for one in running {
            match &one.child {
                Child::Reader if phase == Phase::ContentFilter || self.filter == Some(one.process) => {
                    self.filter = Some(one.process);
                    self.video_bytes = self.video_bytes.max(one.written_bytes);
                }
                Child::Writer { video, .. } => self.video = Some(*video),
                Child::Merge { video } => self.video = self.video.or(*video),
                _ => {}
            }
        }
        let total = match phase {
            Phase::Process if self.has_frame_files => files.map(|files| {
                self.frames = self.frames.max(files.processed);
                files.total
            }),
            Phase::Process => self.total(running),
            _ => None,
        };
        self.progress_ratio =
            total.filter(|total| *total > 0).map(|total| (self.frames as f64 / total as f64).min(1.0));
    }

    /// The number of frames of the video, if the frames that are written are as large as those that the content filter has
    /// read.
    fn total(&self, running: &[Running]) -> Option<u64> {
        let frame_bytes = running.iter().find_map(|one| match &one.child {
            Child::Writer { frame_bytes, .. } => Some(*frame_bytes),
            _ => None,
        })?;
        let is_whole = self.video_bytes > 0 && self.video_bytes.is_multiple_of(frame_bytes);
        is_whole.then(|| self.video_bytes / frame_bytes)
    }
}

#[cfg(test)]
mod tests {
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
}
