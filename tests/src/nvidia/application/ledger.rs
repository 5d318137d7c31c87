//! The account of requests and their results.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde_json::{Value, json};

use super::super::abi::{
    Device,
    request::{About, Request},
};

/// The key of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    device: Device,
    number: u32,
    about: About,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// `ioctl` returned 0 and the struct has this status.
    Status(u32),
    /// `ioctl` returned 0, and there is no status, or none that can be trusted.
    Plain,
    /// `ioctl` failed.
    Errno(i32),
}

/// Sums over successful requests.
#[derive(Default)]
pub(super) struct Sums {
    /// GPU memory that the driver granted, in bytes.
    pub(super) allocated_bytes: u64,
    /// The part of it that requests freed, in bytes.
    pub(super) freed_bytes: u64,
    /// Memory of the application that was pinned, in bytes.
    pub(super) pinned_bytes: u64,
    /// Managed memory that was to be migrated, in bytes.
    pub(super) migrated_bytes: u64,
    /// Allocations of GPU memory that were refused with "no memory".
    pub(super) refused: u64,
    /// Objects of a compute class.
    pub(super) contexts: u64,
    /// Channels.
    pub(super) channels: u64,
    /// Events of the operating system.
    pub(super) events: u64,
}

/// The account of one thread, or of all threads.
#[derive(Default)]
pub(super) struct Ledger {
    calls: HashMap<Key, BTreeMap<Answer, u64>>,
    pub(super) sums: Sums,
    phases: Vec<Value>,
}

impl Ledger {
    pub(super) fn count(&mut self, request: &Request, answer: Answer) {
        let key = Key { device: request.device, number: request.number, about: request.about };
        *self.calls.entry(key).or_default().entry(answer).or_default() += 1;
    }

    /// Adds the account of another thread.
    pub(super) fn add(&mut self, other: Self) {
        for (key, answers) in other.calls {
            let mine = self.calls.entry(key).or_default();
            for (answer, count) in answers {
                *mine.entry(answer).or_default() += count;
            }
        }
        let (mine, other) = (&mut self.sums, other.sums);
        mine.allocated_bytes += other.allocated_bytes;
        mine.freed_bytes += other.freed_bytes;
        mine.pinned_bytes += other.pinned_bytes;
        mine.migrated_bytes += other.migrated_bytes;
        mine.refused += other.refused;
        mine.contexts += other.contexts;
        mine.channels += other.channels;
        mine.events += other.events;
    }

    /// A phase of the run, in the monotonic clock that kernel programs also use.
    pub(super) fn phase(&mut self, name: &str, started_ns: u64, began: Instant) {
        let took_ns = began.elapsed().as_nanos() as u64;
        self.phases.push(json!({ "profile": name, "started_ns": started_ns, "took_ns": took_ns }));
    }

    pub(super) fn sent(&self) -> u64 {
        self.calls.values().flat_map(BTreeMap::values).sum()
    }

    /// The account as JSON.
    pub(super) fn truth(&self, release: &str) -> Value {
        let sorted: BTreeMap<_, _> = self.calls.iter().collect();
        let calls: Vec<Value> = sorted.into_iter().map(|(key, answers)| call(key, answers)).collect();
        let sums = &self.sums;
        json!({
            "release": release,
            "pid": std::process::id(),
            "sent": self.sent(),
            "calls": calls,
            "sums": {
                "allocated_bytes": sums.allocated_bytes,
                "freed_bytes": sums.freed_bytes,
                "pinned_bytes": sums.pinned_bytes,
                "migrated_bytes": sums.migrated_bytes,
                "refused": sums.refused,
                "contexts": sums.contexts,
                "channels": sums.channels,
                "events": sums.events,
            },
            "phases": self.phases,
        })
    }
}

fn call(key: &Key, answers: &BTreeMap<Answer, u64>) -> Value {
    let (mut statuses, mut errnos, mut plain) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (answer, count) in answers {
        match answer {
            Answer::Status(status) => drop(statuses.insert(status.to_string(), *count)),
            Answer::Errno(errno) => drop(errnos.insert(errno.to_string(), *count)),
            Answer::Plain => plain += count,
        }
    }
    json!({
        "device": key.device.name(),
        "request": key.number,
        "control": key.about.control,
        "class": key.about.class,
        "function": key.about.function,
        "wrapped": key.about.wrapped,
        "sent": answers.values().sum::<u64>(),
        "statuses": statuses,
        "errnos": errnos,
        "plain": plain,
    })
}

/// The monotonic clock, in ns.
pub(super) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
