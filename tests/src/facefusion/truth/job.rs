//! The times of one job.

/// A job, from its creation through all of its attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    /// `drafted`, `queued`, `running`, `ended` or `deleted`.
    pub(super) status: &'static str,
    queued_ns: u64,
    started_ns: Option<u64>,
    /// Start and end of each attempt that has ended.
    pub(super) runs_ns: Vec<(u64, u64)>,
}

impl Job {
    pub(super) fn queue(&mut self, at_ns: u64) {
        (self.status, self.queued_ns) = ("queued", at_ns);
    }

    /// A step starts. Returns the queue wait if it is the first one.
    pub(super) fn start(&mut self, at_ns: u64) -> Option<u64> {
        if self.started_ns.is_some() {
            return None;
        }
        (self.status, self.started_ns) = ("running", Some(at_ns));
        Some(at_ns - self.queued_ns)
    }

    /// The job ends. Returns its duration.
    pub(super) fn end(&mut self, at_ns: u64) -> u64 {
        let started_ns = self.started_ns.take().unwrap_or_else(|| panic!("a job ended that had not started"));
        self.status = "ended";
        self.runs_ns.push((started_ns, at_ns));
        at_ns - started_ns
    }
}
