//! Jobs that a container's Gradio server has run: their outcomes and durations, by function.

use super::scheduler::Histogram;

/// Maximum number of functions of one container with counts of their own.
pub const FUNCTIONS_MAX: usize = 32;
/// The name under which the jobs of all further functions are counted.
pub const OTHER_FUNCTIONS: &str = "other";

/// The jobs of one container since it was first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// By function; at most [`FUNCTIONS_MAX`] and [`OTHER_FUNCTIONS`].
    pub functions: Vec<FunctionJobs>,
    /// Jobs that have not ended.
    pub in_flight: InFlight,
    /// Those of them that run while a client follows them; 0 if that is unknown, because messages were lost.
    pub awaited: u64,
    /// Length of the queue that the server last reported; `None` if no job is queued.
    pub queue_size: Option<u64>,
    /// Messages without effect.
    pub ignored: IgnoredEvents,
}

impl Jobs {
    /// The jobs of a function, which is entered if necessary.
    pub fn function(&mut self, name: &str) -> &mut FunctionJobs {
        let position = |functions: &[FunctionJobs], name: &str| {
            functions.iter().position(|function| &*function.name == name)
        };
        let known = position(&self.functions, name);
        let index = known.unwrap_or_else(|| {
            let own = self.functions.iter().filter(|function| &*function.name != OTHER_FUNCTIONS).count();
            let name = if own < FUNCTIONS_MAX { name } else { OTHER_FUNCTIONS };
            position(&self.functions, name).unwrap_or_else(|| {
                self.functions.push(FunctionJobs { name: name.into(), ..FunctionJobs::default() });
                self.functions.len() - 1
            })
        });
        &mut self.functions[index]
    }
}

/// The jobs of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionJobs {
    /// Name of the function: from the configuration, its number, or `/` and its API name.
    pub name: Box<str>,
    /// The jobs, without their function.
    pub counters: JobCounters,
}

/// Counters of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobCounters {
    /// Jobs that left the queue.
    pub started: u64,
    /// Ended jobs, by [`Outcome`].
    pub ended: [u64; Outcome::ALL.len()],
    /// Time from the request to the start, of jobs that started.
    pub queue_waits: Histogram,
    /// Time from the start to the end, of jobs that ended with success or an error.
    pub runs: Histogram,
    /// Time from the request to the end, of jobs that ended with success or an error.
    pub durations: Histogram,
    /// Time from the request to the first progress message or partial result, of jobs that sent one.
    pub first_progress: Histogram,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function returned.
    Success = 0,
    /// The function raised an exception.
    Error = 1,
    /// The client cancelled the job.
    Cancelled = 2,
    /// The client's connection closed before the end, or the end could not be read.
    Abandoned = 3,
}

impl Outcome {
    /// All outcomes, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Success, Self::Error, Self::Cancelled, Self::Abandoned];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Numbers of jobs that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Jobs in the queue.
    pub queued: u64,
    /// Jobs that have started.
    pub running: u64,
    /// Jobs of API calls: their server does not report when they start.
    pub unknown: u64,
}

impl InFlight {
    /// All jobs in flight.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.queued + self.running + self.unknown
    }
}

/// Numbers of messages and jobs that did not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IgnoredEvents {
    /// Messages about jobs whose request was not seen, for example because it came before the agent started.
    pub unknown_job: u64,
    /// Messages about jobs that had ended already.
    pub ended_job: u64,
    /// Messages of an unknown type.
    pub unknown_message: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Requests for jobs that the server refused.
    pub refused: u64,
    /// Unfinished jobs that were dropped because there were too many.
    pub evicted: u64,
}

impl IgnoredEvents {
    /// The values of the label `reason` with their numbers.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, u64); 6] {
        [
            ("unknown_job", self.unknown_job),
            ("ended_job", self.ended_job),
            ("unknown_message", self.unknown_message),
            ("unreadable", self.unreadable),
            ("refused", self.refused),
            ("evicted", self.evicted),
        ]
    }
}
