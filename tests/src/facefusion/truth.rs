//! What the program that plays FaceFusion logged about its jobs, phases, frames and children.

mod job;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::job::Job;

/// The time in which a job runs without another phase.
pub const OTHER: &str = "other";

/// What is known. Times are in ns, of `CLOCK_MONOTONIC` if they are moments.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Ended jobs by outcome and reason. A job that is retried ends again.
    pub ended: BTreeMap<(String, String), u64>,
    /// Jobs that an error left in the queue with a step that had started. Their status remains `running`.
    pub stranded: u64,
    /// Times from submission to the start of the first step; of a retry, from the move back into the queue.
    pub waits_ns: Vec<u64>,
    /// Times from the start of the first step to the end, of ended jobs.
    pub durations_ns: Vec<u64>,
    /// Ended steps by status.
    pub steps: BTreeMap<String, u64>,
    /// Failed jobs that were moved back into the queue.
    pub retries: u64,
    /// Steps started, by processor.
    pub processors: BTreeMap<String, u64>,
    /// Phases that have ended, in order.
    pub phases: Vec<Phase>,
    /// The steps that have processed frames, in order.
    pub runs: Vec<Run>,
    /// Children that have ended.
    pub children: Vec<Child>,
    /// Whether the scenario has been played.
    pub is_over: bool,
    /// Whether the process has ended itself in the middle of a job.
    pub has_crashed: bool,
    jobs: BTreeMap<String, Job>,
}

/// A phase of a job.
#[derive(Clone, Debug)]
pub struct Phase {
    /// The job.
    pub job: String,
    /// Value of the label `phase`.
    pub name: String,
    /// Its begin.
    pub begin_ns: u64,
    /// Its end.
    pub end_ns: u64,
}

/// The frames of one step.
#[derive(Clone, Debug)]
pub struct Run {
    /// The number of frames in the video.
    pub total: u64,
    /// When each frame had been written.
    pub frames_ns: Vec<u64>,
}

impl Run {
    /// The mean rate in frames per second. `None` for less than two frames.
    #[must_use]
    pub fn fps(&self) -> Option<f64> {
        let (first, last) = (self.frames_ns.first()?, self.frames_ns.last()?);
        (last > first).then(|| (self.frames_ns.len() - 1) as f64 * 1e9 / (last - first) as f64)
    }
}

/// A child that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its program, such as `ffmpeg`.
    pub program: String,
    /// Its exit code, or the negative signal that ended it.
    pub exit_code: i64,
}

impl Truth {
    /// Reads the lines of the log.
    ///
    /// # Panics
    /// If a line is not as the program writes it, or if phases of a job overlap.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut truth = Self::default();
        let mut open = BTreeMap::new();
        for line in text.lines() {
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("parse {line}: {error}"));
            truth.add(&line, &mut open);
        }
        // A step that was refused has no frames.
        truth.runs.retain(|run| !run.frames_ns.is_empty());
        truth
    }

    fn add(&mut self, line: &Value, open: &mut BTreeMap<String, u64>) {
        let at_ns = line["monotonic_ns"].as_u64().unwrap_or_else(|| panic!("no time in {line}"));
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let name = text("job");
        match line["event"].as_str().unwrap_or_default() {
            "job_created" | "job_submitted" | "job_retried" | "step_started" | "step_ended" | "job_ended"
            | "job_deleted" | "job_stranded" => self.add_to_job(&name, line, at_ns),
            "phase_begins" => {
                let earlier = open.insert(name, at_ns);
                assert!(earlier.is_none(), "a phase begins within another one: {line}");
            }
            "phase_ends" => {
                let begin_ns = open.remove(&name).unwrap_or_else(|| panic!("ended before it began: {line}"));
                self.phases.push(Phase { job: name, name: text("phase"), begin_ns, end_ns: at_ns });
            }
            "frame" => {
                let run = self.runs.last_mut().unwrap_or_else(|| panic!("a frame without a step: {line}"));
                run.total = line["total"].as_u64().unwrap_or_default();
                run.frames_ns.push(at_ns);
            }
            "child_ends" => {
                let exit_code = line["exit_code"].as_i64().unwrap_or_else(|| panic!("no code in {line}"));
                self.children.push(Child { program: text("program"), exit_code });
            }
            "scenario_ends" => self.is_over = true,
            "crash" => self.has_crashed = true,
            _ => {}
        }
    }

    fn add_to_job(&mut self, name: &str, line: &Value, at_ns: u64) {
        let job = self.jobs.entry(name.to_owned()).or_default();
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        match line["event"].as_str().unwrap_or_default() {
            "job_created" => job.status = "drafted",
            "job_submitted" => job.queue(at_ns),
            "job_retried" => {
                job.queue(at_ns);
                self.retries += 1;
            }
            "step_started" => {
                self.waits_ns.extend(job.start(at_ns));
                self.runs.push(Run { total: 0, frames_ns: Vec::new() });
                for processor in line["processors"].as_array().into_iter().flatten() {
                    let processor = processor.as_str().unwrap_or_default().to_owned();
                    *self.processors.entry(processor).or_default() += 1;
                }
            }
            "step_ended" => *self.steps.entry(text("status")).or_default() += 1,
            "job_ended" => {
                self.durations_ns.push(job.end(at_ns));
                *self.ended.entry((text("outcome"), text("reason"))).or_default() += 1;
            }
            "job_deleted" => job.status = "deleted",
            _ => self.stranded += 1,
        }
    }

    /// The number of jobs that have ended.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.ended.values().sum()
    }

    /// The number of jobs that have a status now: drafted, queued or running.
    #[must_use]
    pub fn jobs_in(&self, status: &str) -> u64 {
        self.jobs.values().filter(|job| job.status == status).count() as u64
    }

    /// The number of frames written.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.runs.iter().map(|run| run.frames_ns.len() as u64).sum()
    }

    /// The time in each phase of ended jobs, and the number of times that the phase began. The rest of a job's time is
    /// [`OTHER`].
    #[must_use]
    pub fn phases_ns(&self) -> BTreeMap<&str, (u64, u64)> {
        let mut all: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (name, job) in &self.jobs {
            for &(begin_ns, end_ns) in &job.runs_ns {
                let within = |phase: &&Phase| begin_ns <= phase.begin_ns && phase.end_ns <= end_ns;
                let mut rest_ns = end_ns - begin_ns;
                let mut gaps = 1;
                for phase in self.phases.iter().filter(|phase| phase.job == *name).filter(within) {
                    let entry = all.entry(&phase.name).or_default();
                    *entry = (entry.0 + phase.end_ns - phase.begin_ns, entry.1 + 1);
                    rest_ns -= phase.end_ns - phase.begin_ns;
                    gaps += 1;
                }
                let other = all.entry(OTHER).or_default();
                *other = (other.0 + rest_ns, other.1 + gaps);
            }
        }
        all
    }

    /// The exit codes of all children of a program.
    #[must_use]
    pub fn exit_codes(&self, program: &str) -> BTreeSet<i64> {
        self.children.iter().filter(|child| child.program == program).map(|child| child.exit_code).collect()
    }
}
