//! What the running jobs of a container do, from the programs that run beside them. Pure.
//!
//! From 3.8 on, FaceFusion sends frames through pipes: the ffmpeg that writes the video reads them, so its bytes are the frames.
//! Other ffmpegs read the video, one for each purpose, and stay alive: one for the content filter, and later one for the
//! frames to process. The bytes of the second as a share of those of the first are the progress, whatever the size and format
//! of the frames that are written. Up to 3.7, frames are files, which are written once when they are extracted and once more
//! when they are processed.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use super::children::Child;
use crate::snapshot::facefusion::{FaceFusionCounters, Phase, Video};

/// The frame rate is that of this time.
const WINDOW: Duration = Duration::from_secs(5);
/// Minimum time for a frame rate.
const WINDOW_MIN: Duration = Duration::from_millis(900);
/// A process that started longer before a step than this does not belong to it. It may be that of a preview.
const EARLY: Duration = Duration::from_millis(100);
/// Maximum number of processes that write videos at a time.
const WRITERS_MAX: usize = 64;

/// A running program, or one that has just ended, and the bytes that it has read and written so far, pipes included.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Running {
    pub(super) process: u32,
    /// When it started; `None` if that is unknown.
    pub(super) started: Option<SystemTime>,
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
    /// When it started; `None` if that is unknown.
    since: Option<SystemTime>,
    /// True if ffmpeg has read the video.
    has_readers: bool,
    /// True if that was for the content filter.
    filtered: bool,
    /// True if frames were extracted or processed.
    processed: bool,
    /// True after the extraction, until the video is made.
    has_frame_files: bool,
    /// True if frames are or were in files.
    has_extracted: bool,
    /// The process that reads the video for the content filter.
    filter: Option<u32>,
    /// The bytes that it has written: those of the whole video as frames. 0 if it does not read from the start.
    video_bytes: u64,
    /// The bytes of frames that were read for processing.
    read_bytes: u64,
    /// The processes that write videos and were started before, with the bytes that they had read when they were first seen.
    early_writers: HashMap<u32, u64>,
    frames: u64,
    progress_ratio: Option<f64>,
    video: Option<Video>,
    recent: VecDeque<(Instant, u64)>,
}

impl Phases {
    /// A job has just started; its step at this time, if that is known.
    pub(super) fn new(since: Option<SystemTime>, now: Instant) -> Self {
        let step = Step { since, ..Step::default() };
        Self { phase: Phase::Other, sampled: now, step, writers: HashMap::new() }
    }

    /// The next step of a job has started at this time, if that is known.
    pub(super) fn next_step(&mut self, since: Option<SystemTime>) {
        self.step = Step { since, ..Step::default() };
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

    /// The frames that were written since the last sample, of all processes that write videos.
    fn frames_written(&mut self, running: &[Running]) -> u64 {
        self.writers.retain(|process, _| running.iter().any(|one| one.process == *process));
        let mut written = 0_u64;
        for one in running {
            let Child::Writer { frame_bytes, .. } = &one.child else { continue };
            if self.writers.len() >= WRITERS_MAX && !self.writers.contains_key(&one.process) {
                continue;
            }
            let frames = one.read_bytes.checked_div(*frame_bytes).unwrap_or(0);
            let before = if self.step.is_early(one) { frames } else { 0 };
            let counted = self.writers.entry(one.process).or_insert(before);
            written = written.saturating_add(frames.saturating_sub(*counted));
            *counted = frames.max(*counted);
        }
        written
    }
}

impl Step {
    fn phase(&mut self, running: &[Running], follows_files: bool) -> Phase {
        let runs = |is: fn(&Child) -> bool| running.iter().any(|one| !one.is_over && is(&one.child));
        let reads = running.iter().any(|one| !one.is_over && self.is_reader(one));
        let writes = running.iter().any(|one| !one.is_over && self.is_writer(one));
        let phase = if runs(|child| matches!(child, Child::Download)) {
            Phase::Download
        } else if writes {
            Phase::Process
        } else if runs(|child| matches!(child, Child::Merge { .. })) {
            Phase::Merge
        } else if runs(|child| matches!(child, Child::Audio)) {
            Phase::Audio
        } else if runs(|child| matches!(child, Child::Extract { .. })) {
            Phase::Extract
        } else if self.has_frame_files {
            if follows_files { Phase::Process } else { Phase::Other }
        } else if !self.processed && reads {
            Phase::ContentFilter
        } else if runs(|child| matches!(child, Child::Probe)) {
            Phase::Probe
        } else {
            Phase::Other
        };
        self.has_readers |= reads;
        self.filtered |= phase == Phase::ContentFilter;
        self.processed |= matches!(phase, Phase::Extract | Phase::Process | Phase::Merge);
        self.has_extracted |= phase == Phase::Extract;
        self.has_frame_files = match phase {
            Phase::Extract => true,
            Phase::Merge | Phase::Audio => false,
            _ => self.has_frame_files,
        };
        phase
    }

    /// Whether this process was started before this step.
    fn is_early(&self, one: &Running) -> bool {
        one.started.zip(self.since).is_some_and(|(started, since)| started + EARLY < since)
    }

    /// Whether this process reads the video for this step.
    fn is_reader(&self, one: &Running) -> bool {
        matches!(one.child, Child::Reader { .. }) && !self.is_early(one)
    }

    /// Whether this process writes the video of this step. FaceFusion keeps the one of a job that an exception stopped, and may
    /// use it again.
    fn is_writer(&mut self, one: &Running) -> bool {
        if !matches!(one.child, Child::Writer { .. }) {
            return false;
        }
        if !self.is_early(one) {
            return true;
        }
        let first = *self.early_writers.entry(one.process).or_insert(one.read_bytes);
        one.read_bytes > first
    }

    fn count_frames(&mut self, phase: Phase, running: &[Running], written: u64, files: Option<FrameFiles>) {
        self.frames = self.frames.saturating_add(written);
        for one in running {
            match &one.child {
                Child::Reader { is_from_start } if self.is_reader(one) => {
                    let bytes = if *is_from_start { one.written_bytes } else { 0 };
                    if phase == Phase::ContentFilter || self.filter == Some(one.process) {
                        self.filter = Some(one.process);
                        self.video_bytes = self.video_bytes.max(bytes);
                    } else {
                        self.read_bytes = self.read_bytes.max(bytes);
                    }
                }
                Child::Writer { video, .. } if self.is_writer(one) => self.video = Some(*video),
                Child::Merge { video } => self.video = self.video.or(*video),
                _ => {}
            }
        }
        // The last files may have been written just before the video is made.
        let files = files.filter(|_| self.has_extracted && matches!(phase, Phase::Process | Phase::Merge));
        if let Some(files) = files {
            self.frames = self.frames.max(files.processed);
        }
        self.progress_ratio = match (phase, files) {
            (Phase::Process, Some(files)) => ratio(self.frames, files.total),
            (Phase::Process, None) => ratio(self.read_bytes, self.video_bytes),
            _ => None,
        };
    }
}

/// A share of a total, 0 to 1; `None` if the total is unknown.
fn ratio(part: u64, total: u64) -> Option<f64> {
    (total > 0).then(|| (part as f64 / total as f64).min(1.0))
}

#[cfg(test)]
mod tests;
