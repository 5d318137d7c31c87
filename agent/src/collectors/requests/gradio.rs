//! Jobs of Gradio servers, from pieces of their HTTP messages. Pure: pieces and times come in, counters go out.
//!
//! A client adds a job with a request (`queue/join`), whose body ends with the number of the function, and whose
//! response is the ID of the job. Messages about the job follow on another connection (`queue/data`), one stream for
//! all jobs of the client's session. An API call (`call/NAME`) has a stream of its own, without the start of the job.
//!
//! Durations are those on the server's side of the network. `process_starts` is sent when the client's stream is open
//! and within 50 ms, so a job that need not wait has 50 to 100 ms of queue wait, and its run is that much shorter.
//!
//! Versions 4 and 5 are understood. Not included: Gradio 3 (WebSocket), functions with `queue=False` (they are plain
//! requests), and whatever is encrypted or compressed in the container itself.
//!
//! Everything in a piece is chosen by the container or its clients. Tables are limited, and only IDs of 32 hexadecimal
//! digits and numbers of functions are kept. Sessions are kept as hashes with a random key.

mod container;
mod event;
mod exchanges;
mod functions;
mod job;
mod jobs;
mod json;
mod message;
mod recent;
mod request;

use std::{collections::HashMap, hash::RandomState};

use glassbox_ebpf::requests::piece::Piece;

use self::{container::Container, exchanges::SILENCE_NS};
use crate::{config::FunctionName, snapshot::jobs::Jobs};

/// Maximum number of unfinished jobs of one container.
const JOBS_MAX: usize = 4096;
/// Maximum number of unfinished jobs of all containers, of which each has the same share, at least [`JOBS_MIN`].
const JOBS_TOTAL: usize = 16_384;
/// Number of unfinished jobs that every container may have.
const JOBS_MIN: usize = 64;

/// The jobs of all containers, by slot.
#[derive(Debug, Default)]
pub struct JobTracker {
    containers: HashMap<u32, Container>,
    keys: RandomState,
    /// Jobs evicted from containers that are forgotten.
    evicted: u64,
}

impl JobTracker {
    /// No jobs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles a piece.
    pub fn on_piece(&mut self, piece: &Piece) {
        let share = self.share();
        self.containers.entry(piece.slot).or_default().on_piece(piece, &self.keys, share);
    }

    /// Maximum number of unfinished jobs of each container.
    fn share(&self) -> usize {
        (JOBS_TOTAL / self.containers.len().max(1)).clamp(JOBS_MIN, JOBS_MAX)
    }

    /// Ends jobs whose client is gone. To be called at every tick, with the time of CLOCK_MONOTONIC.
    pub fn expire(&mut self, now_ns: u64) {
        let share = self.share();
        for container in self.containers.values_mut() {
            container.expire(now_ns);
            container.jobs.limit(share);
        }
    }

    /// Running jobs of the container in a slot that a client follows: `is_received` says whether the client of a connection
    /// receives its stream. 0 for ten minutes after a piece was lost, at `lost_ns` of CLOCK_MONOTONIC (0 for never): a job whose
    /// end was lost looks like a running one.
    #[must_use]
    pub fn awaited(&self, slot: u32, lost_ns: u64, now_ns: u64, is_received: impl Fn(u64) -> bool) -> u64 {
        if lost_ns != 0 && now_ns.saturating_sub(lost_ns) <= SILENCE_NS {
            return 0;
        }
        self.containers.get(&slot).map_or(0, |container| container.awaited(is_received))
    }

    /// The jobs of the container in a slot, with the names that the configuration gives to its functions; `None` if it
    /// has had none.
    #[must_use]
    pub fn jobs(&self, slot: u32, names: &[FunctionName], container: &str) -> Option<Jobs> {
        self.containers.get(&slot)?.jobs.output(names, container)
    }

    /// Releases the state of a container that has ended.
    pub fn forget(&mut self, slot: u32) {
        if let Some(container) = self.containers.remove(&slot) {
            self.evicted += container.jobs.ignored.evicted;
        }
    }

    /// Unfinished jobs that were dropped because there were too many, for
    /// [`Collector::lost`](crate::collectors::Collector::lost) under the source `gradio_jobs`.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.containers.values().fold(self.evicted, |sum, container| sum + container.jobs.ignored.evicted)
    }
}

#[cfg(test)]
mod tests;
