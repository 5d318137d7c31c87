//! The application's account under the names of the agent's labels, and its comparison with the agent's counters.
#![expect(
    clippy::unwrap_used,
    reason = "the account is the application's own; an invalid one fails the test"
)]

mod names;

use std::collections::BTreeMap;

use glassbox::snapshot::nvidia_driver::{DriverUsage, Failure};
use serde_json::Value;

use super::abi::class;

fn calls(truth: &Value) -> impl Iterator<Item = (String, &Value)> {
    truth["calls"].as_array().unwrap().iter().map(|call| (names::call(call), call))
}

/// Calls by command.
fn commands(truth: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (name, call) in calls(truth) {
        *counts.entry(name).or_default() += call["sent"].as_u64().unwrap();
    }
    counts
}

/// Failed calls by command and the name of the status or error.
fn failures(truth: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (name, call) in calls(truth) {
        for (status, count) in call["statuses"].as_object().unwrap() {
            if status != "0" {
                let status = names::status(status);
                *counts.entry(format!("{name} {status}")).or_default() += count.as_u64().unwrap();
            }
        }
        for (errno, count) in call["errnos"].as_object().unwrap() {
            *counts.entry(format!("{name} {}", names::errno(errno))).or_default() += count.as_u64().unwrap();
        }
    }
    counts
}

/// Failed `ioctl` calls by error, for any request.
#[must_use]
pub fn errors_sent(truth: &Value) -> BTreeMap<&'static str, u64> {
    errors(truth["calls"].as_array().unwrap())
}

/// Calls on the driver's devices with a word of another driver, and their errors.
#[must_use]
pub fn foreign(truth: &Value) -> (u64, BTreeMap<&'static str, u64>) {
    let is_foreign =
        |call: &&Value| call["device"] != "uvm" && call["request"].as_u64().is_some_and(|word| word > 0xFF);
    let calls: Vec<&Value> = truth["calls"].as_array().unwrap().iter().filter(is_foreign).collect();
    (calls.iter().map(|call| call["sent"].as_u64().unwrap()).sum(), errors(calls))
}

fn errors<'a>(calls: impl IntoIterator<Item = &'a Value>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for (errno, count) in calls.into_iter().flat_map(|call| call["errnos"].as_object().unwrap()) {
        *counts.entry(names::errno(errno)).or_default() += count.as_u64().unwrap();
    }
    counts
}

/// Failed `ioctl` calls by error, as the agent counted them.
#[must_use]
pub fn errors_counted(usage: &DriverUsage) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for failure in &usage.failures {
        if let Failure::Errno(name) = &failure.reason {
            *counts.entry(name.as_ref()).or_default() += failure.count;
        }
    }
    counts
}

/// Successful calls of a request.
#[must_use]
pub fn succeeded(truth: &Value, device: &str, request: u64) -> u64 {
    let of_it = |call: &&Value| call["device"] == device && call["request"].as_u64() == Some(request);
    truth["calls"].as_array().unwrap().iter().filter(of_it).map(successes).sum()
}

fn successes(call: &Value) -> u64 {
    call["statuses"]["0"].as_u64().unwrap_or(0)
}

/// Events that the application created.
fn events(truth: &Value) -> u64 {
    let made = |call: &&Value| {
        call["request"] == 0x2B && call["class"].as_u64().is_some_and(|class| class::is_event(class as u32))
    };
    truth["calls"].as_array().unwrap().iter().filter(made).map(successes).sum()
}

/// All calls that the agent counted.
#[must_use]
pub fn counted(usage: &DriverUsage) -> u64 {
    usage.commands.iter().map(|usage| usage.durations.count()).sum()
}

/// Compares everything that the application counted with what the programs counted: calls, statuses and errors by command,
/// bytes, and the effects of calls.
///
/// # Panics
/// If they differ.
pub fn agree(usage: &DriverUsage, truth: &Value, about: &str) {
    let calls: BTreeMap<_, _> = usage
        .commands
        .iter()
        .map(|usage| {
            let count = usage.durations.count();
            (format!("{} {}", usage.device, usage.command), count)
        })
        .collect();
    assert_eq!(calls, commands(truth), "{about}: calls");
    let failed: BTreeMap<_, _> = usage
        .failures
        .iter()
        .map(|failure| {
            let (kind, reason) = match &failure.reason {
                Failure::Status(reason) | Failure::Errno(reason) => ("", reason),
                Failure::Warning(reason) => ("warning ", reason),
            };
            (format!("{} {} {kind}{reason}", failure.device, failure.command), failure.count)
        })
        .collect();
    assert_eq!(failed, failures(truth), "{about}: failures");
    let (counters, sums) = (&usage.counters, &truth["sums"]);
    assert_eq!(counters.allocated_bytes, sums["allocated_bytes"].as_u64().unwrap(), "{about}: allocated");
    assert_eq!(counters.freed_bytes, sums["freed_bytes"].as_u64().unwrap(), "{about}: freed");
    assert_eq!(counters.pinned_bytes, sums["pinned_bytes"].as_u64().unwrap(), "{about}: pinned");
    assert_eq!(counters.failed_no_memory, sums["refused"].as_u64().unwrap(), "{about}: refused");
    assert_eq!(counters.contexts, succeeded(truth, "uvm", 25), "{about}: contexts");
    assert_eq!(counters.channels, succeeded(truth, "uvm", 27), "{about}: channels");
    assert_eq!(counters.events, events(truth), "{about}: events");
    assert_eq!((counters.undecoded, counters.unreadable, usage.in_flight), (0, 0, 0), "{about}");
}
