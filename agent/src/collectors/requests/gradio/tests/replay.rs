//! Recorded runs of real Gradio servers (tests/gradio), compared with what the application and its clients logged.

use std::collections::BTreeMap;

use glassbox_ebpf::requests::piece::{Piece, PieceKind};
use serde_json::Value;

use super::wire::MS;
use crate::{
    collectors::requests::gradio::JobTracker,
    snapshot::{jobs::Outcome, scheduler::Histogram},
};

const RUNS: [(&str, &str, &str); 2] = [
    (
        "5.50.0",
        include_str!("../../../../../../tests/fixtures/gradio/5.50.0.pieces.jsonl"),
        include_str!("../../../../../../tests/fixtures/gradio/5.50.0.truth.jsonl"),
    ),
    (
        "4.44.1",
        include_str!("../../../../../../tests/fixtures/gradio/4.44.1.pieces.jsonl"),
        include_str!("../../../../../../tests/fixtures/gradio/4.44.1.truth.jsonl"),
    ),
];

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn piece(record: &Value) -> Piece {
    let kind = PieceKind::ALL.into_iter().find(|kind| format!("{kind:?}") == record["kind"]).unwrap();
    // One character is one byte.
    let text: Vec<u8> = record["text"].as_str().unwrap().chars().map(|byte| byte as u8).collect();
    let mut piece = Piece {
        at_ns: number(&record["at_ns"]),
        connection: number(&record["connection"]),
        request: number(&record["request"]) as u32,
        slot: 1,
        kind: kind as u32,
        bytes_total: number(&record["bytes_total"]),
        length: text.len() as u32,
        status: number(&record["status"]) as u32,
        ..Piece::EMPTY
    };
    piece.bytes[..text.len()].copy_from_slice(&text);
    piece
}

/// The jobs of one function: ends by outcome, and the known queue waits and runs in ns.
#[derive(Debug, Default)]
struct Truth {
    ended: [u64; 4],
    waits_ns: Vec<u64>,
    runs_ns: Vec<u64>,
}

fn truth(text: &str) -> BTreeMap<String, Truth> {
    let log: Vec<Value> = lines(text).collect();
    let of = |tag: &Value, what: &str| log.iter().find(|line| line["tag"] == *tag && line["what"] == what);
    let mut functions: BTreeMap<String, Truth> = BTreeMap::new();
    for job in log.iter().filter(|line| line["outcome"].is_string()) {
        let is_call = job["via"] == "call";
        let index = number(&job["fn"]);
        // Recordings of an earlier application have no names.
        let name = job["name"].as_str().unwrap_or(["work", "fail", "steps", "large"][index as usize]);
        let function =
            functions.entry(if is_call { format!("/{name}") } else { index.to_string() }).or_default();
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == job["outcome"]).unwrap();
        function.ended[outcome as usize] += 1;
        let (Some(begins), false) = (of(&job["tag"], "begins"), is_call) else { continue };
        let asked = of(&job["tag"], "asked").unwrap();
        let asked_ns = number(&asked["at_ns"]);
        // The server reports the start to an open stream only.
        let streams =
            log.iter().filter(|line| line["what"] == "listens" && line["session"] == asked["session"]);
        let listens_ns = streams.map(|line| number(&line["at_ns"])).find(|at_ns| *at_ns > asked_ns);
        let begins_ns = number(&begins["at_ns"]);
        let is_late = |at_ns: &u64| (begins_ns..begins_ns + 500 * MS).contains(at_ns);
        let begins_ns = listens_ns.filter(is_late).unwrap_or(begins_ns);
        // Gradio runs a job that was cancelled in the queue.
        if !job["tag"].as_str().unwrap().starts_with("cancelled-queued") {
            function.waits_ns.push(begins_ns - asked_ns);
        }
        if matches!(outcome, Outcome::Success | Outcome::Error) {
            function.runs_ns.push(number(&of(&job["tag"], "ends").unwrap()["at_ns"]) - begins_ns);
        }
    }
    functions
}

/// Each time may differ by 5 % or 100 ms.
fn assert_near(what: &str, counted: &Histogram, known_ns: &[u64]) {
    assert_eq!(counted.count(), known_ns.len() as u64, "{what}");
    let tolerance_ns: u64 = known_ns.iter().map(|ns| (ns / 20).max(100 * MS)).sum();
    let sum_ns: u64 = known_ns.iter().sum();
    println!("{what}: {} ms, known {} ms of {}", counted.sum_ns / MS, sum_ns / MS, known_ns.len());
    assert!(counted.sum_ns.abs_diff(sum_ns) <= tolerance_ns, "{what}: {} of {sum_ns} ns", counted.sum_ns);
}

#[test]
fn the_jobs_of_a_recorded_run_are_those_that_the_application_logged() {
    for (version, pieces, log) in RUNS {
        let mut tracker = JobTracker::new();
        let mut last_ns = 0;
        for record in lines(pieces) {
            let piece = piece(&record);
            last_ns = piece.at_ns;
            tracker.expire(last_ns);
            tracker.on_piece(&piece);
        }
        tracker.expire(last_ns + 60_000 * MS);
        let jobs = tracker.jobs(1, &[], "a").unwrap();
        let known = truth(log);
        assert_eq!(jobs.functions.len(), known.len(), "{version}: {jobs:?}");
        for function in &jobs.functions {
            let known = &known[&*function.name];
            let counters = &function.counters;
            assert_eq!(counters.ended, known.ended, "{version} {}", function.name);
            let what = format!("{version} function {}", function.name);
            assert_near(&format!("{what}, queue waits"), &counters.queue_waits, &known.waits_ns);
            if !function.name.starts_with('/') {
                assert_near(&format!("{what}, runs"), &counters.runs, &known.runs_ns);
            }
        }
        assert_eq!(jobs.in_flight.total(), 0);
        let ignored = jobs.ignored;
        println!("{version} {ignored:?}");
        assert_eq!(
            (ignored.unreadable, ignored.unknown_message, ignored.refused, ignored.evicted),
            (0, 0, 0, 0)
        );
    }
}
