//! Single histories, as measured on Gradio 4 and 5.

use glassbox_ebpf::requests::piece::PieceKind;

use super::wire::{MS, Wire, id};
use crate::{
    collectors::requests::gradio::JobTracker,
    snapshot::jobs::{FunctionJobs, InFlight, Jobs},
};

fn tracker(wire: &Wire) -> JobTracker {
    let mut tracker = JobTracker::new();
    wire.pieces.iter().for_each(|piece| tracker.on_piece(piece));
    tracker
}

fn read(tracker: &JobTracker) -> Jobs {
    tracker.jobs(5, &[], "a").unwrap()
}

fn only(jobs: &Jobs) -> &FunctionJobs {
    assert_eq!(jobs.functions.len(), 1, "{jobs:?}");
    &jobs.functions[0]
}

#[test]
fn a_job_has_its_queue_wait_its_run_and_its_outcome() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 3, 1);
    let stream = wire.stream(1050 * MS, "s");
    wire.report(1060 * MS, stream, "estimation", 1, r#","rank":1,"queue_size":2,"rank_eta":null"#);
    let queued = read(&tracker(&wire));
    assert_eq!(queued.in_flight, InFlight { queued: 1, running: 0, unknown: 0 });
    assert_eq!(queued.queue_size, Some(2));
    wire.starts(3000 * MS, stream, 1);
    wire.report(3500 * MS, stream, "progress", 1, r#","progress_data":[]"#);
    wire.report(3900 * MS, stream, "process_generating", 1, r#","output":{"data":[1]},"success":true"#);
    let running = read(&tracker(&wire));
    assert_eq!((running.in_flight.running, running.queue_size), (1, None));
    wire.succeeds(8000 * MS, stream, 1);
    wire.close_stream(8001 * MS, stream);
    let mut tracker = tracker(&wire);
    tracker.expire(100_000 * MS);
    let jobs = read(&tracker);
    let function = only(&jobs);
    assert_eq!((&*function.name, function.counters.started), ("3", 1));
    assert_eq!(function.counters.ended, [1, 0, 0, 0]);
    assert_eq!(function.counters.queue_waits.sum_ns, 2000 * MS);
    assert_eq!(function.counters.first_progress.sum_ns, 2500 * MS);
    assert_eq!(function.counters.first_progress.count(), 1);
    assert_eq!(function.counters.runs.sum_ns, 5000 * MS);
    assert_eq!(function.counters.durations.sum_ns, 7000 * MS);
    assert_eq!((jobs.in_flight.total(), jobs.ignored), (0, Default::default()));
}

#[test]
fn a_message_in_several_pieces_is_read_once() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 3, 1);
    let stream = wire.stream(1050 * MS, "s");
    wire.starts(1060 * MS, stream, 1);
    wire.succeeds(2060 * MS, stream, 1);
    let rest = "x".repeat(60_000);
    wire.piece(2060 * MS, stream, PieceKind::ResponseBody, &rest, 0);
    let end = "xxx\"]},\"success\":true}\n\ndata: {\"msg\":\"close_stream\",\"event_id\":null}\n\n";
    wire.piece(2060 * MS, stream, PieceKind::ResponseBody, end, 0);
    let jobs = read(&tracker(&wire));
    assert_eq!(only(&jobs).counters.ended, [1, 0, 0, 0]);
    assert_eq!((jobs.in_flight.total(), jobs.ignored), (0, Default::default()));
}

#[test]
fn a_job_whose_first_message_overtakes_its_id_is_counted() {
    let mut wire = Wire::default();
    let stream = wire.stream(900 * MS, "s");
    let request = wire.ask(1000 * MS, "s", 0);
    wire.starts(1001 * MS, stream, 1);
    wire.fails(1002 * MS, stream, 1);
    wire.respond(1003 * MS, request, 200, &format!(r#"{{"event_id":"{}"}}"#, id(1)));
    let jobs = read(&tracker(&wire));
    assert_eq!(only(&jobs).counters.ended, [0, 1, 0, 0]);
    assert_eq!(only(&jobs).counters.runs.sum_ns, MS);
    assert_eq!((jobs.in_flight.total(), jobs.ignored), (0, Default::default()));
}

#[test]
fn a_message_about_a_job_from_before_the_agent_is_counted_as_ignored() {
    let mut wire = Wire::default();
    let stream = wire.stream(900 * MS, "s");
    wire.report(950 * MS, stream, "estimation", 1, r#","rank":0,"queue_size":1"#);
    wire.starts(1000 * MS, stream, 1);
    wire.succeeds(1100 * MS, stream, 1);
    let mut tracker = tracker(&wire);
    assert!(tracker.jobs(5, &[], "a").is_none());
    tracker.expire(4000 * MS);
    let jobs = read(&tracker);
    assert_eq!((jobs.functions.len(), jobs.ignored.unknown_job), (0, 2));
    assert_eq!(jobs.in_flight.total(), 0);
}

#[test]
fn the_first_end_of_a_job_that_is_cancelled_in_the_queue_counts() {
    // Job 1 runs, job 2 of the same session and function is queued and cancelled.
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 1, 1);
    let stream = wire.stream(1050 * MS, "s");
    wire.starts(1060 * MS, stream, 1);
    wire.join(1500 * MS, "s", 1, 2);
    wire.cancel(2000 * MS, "s", 2);
    wire.reports_cancelled(2020 * MS, stream, 2);
    wire.starts(2100 * MS, stream, 2);
    wire.succeeds(3100 * MS, stream, 2);
    wire.end(3200 * MS, stream);
    let mut tracker = tracker(&wire);
    assert_eq!(read(&tracker).in_flight, InFlight { queued: 0, running: 1, unknown: 0 });
    tracker.expire(5300 * MS);
    let jobs = read(&tracker);
    assert_eq!(only(&jobs).counters.ended, [0, 0, 1, 1]);
    assert_eq!((only(&jobs).counters.started, only(&jobs).counters.runs.count()), (1, 0));
    assert_eq!((jobs.in_flight.total(), jobs.ignored.ended_job), (0, 2));
}

#[test]
fn a_job_that_the_server_never_ends_is_abandoned_when_the_server_closes_the_stream() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 1, 1);
    let stream = wire.stream(1050 * MS, "s");
    wire.starts(1060 * MS, stream, 1);
    wire.close_stream(2000 * MS, stream);
    let jobs = read(&tracker(&wire));
    assert_eq!((only(&jobs).counters.ended, jobs.in_flight.total()), ([0, 0, 0, 1], 0));
}

#[test]
fn a_new_job_is_not_abandoned_with_the_stream_of_earlier_ones() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 1, 1);
    let first = wire.stream(1050 * MS, "s");
    wire.starts(1060 * MS, first, 1);
    wire.succeeds(1500 * MS, first, 1);
    let request = wire.ask(1600 * MS, "s", 1);
    wire.close_stream(1601 * MS, first);
    wire.respond(1602 * MS, request, 200, &format!(r#"{{"event_id":"{}"}}"#, id(2)));
    wire.end(1603 * MS, first);
    let second = wire.stream(1700 * MS, "s");
    wire.starts(1800 * MS, second, 2);
    let mut tracker = tracker(&wire);
    tracker.expire(60_000 * MS);
    assert_eq!(read(&tracker).in_flight.running, 1);
}

#[test]
fn a_client_that_leaves_and_cancels_has_cancelled_its_job() {
    let run = |cancels: Option<&str>, reopens: bool| {
        let mut wire = Wire::default();
        wire.join(1000 * MS, "s", 1, 1);
        let stream = wire.stream(1050 * MS, "s");
        wire.starts(1060 * MS, stream, 1);
        wire.end(2000 * MS, stream);
        if reopens {
            wire.stream(2100 * MS, "s");
        }
        if let Some(session) = cancels {
            wire.cancel(2200 * MS, session, 1);
        }
        let mut tracker = tracker(&wire);
        tracker.expire(3900 * MS);
        let within_grace = read(&tracker).in_flight.total();
        tracker.expire(4100 * MS);
        (within_grace, only(&read(&tracker)).counters.ended)
    };
    assert_eq!(run(Some("s"), false), (0, [0, 0, 1, 0]));
    assert_eq!(run(Some("another"), false), (1, [0, 0, 0, 1]));
    assert_eq!(run(None, false), (1, [0, 0, 0, 1]));
    assert_eq!(run(None, true), (1, [0; 4]));
    assert_eq!(run(Some("s"), true), (1, [0; 4]));
}

#[test]
fn a_job_whose_client_never_listens_is_abandoned_after_a_minute() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 1, 1);
    let mut tracker = tracker(&wire);
    tracker.expire(60_000 * MS);
    assert_eq!(read(&tracker).in_flight.queued, 1);
    tracker.expire(61_001 * MS);
    assert_eq!(only(&read(&tracker)).counters.ended, [0, 0, 0, 1]);
}

#[test]
fn a_failure_of_the_server_ends_the_jobs_of_the_stream_with_an_error() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 1, 1);
    let stream = wire.stream(1050 * MS, "s");
    wire.starts(1060 * MS, stream, 1);
    wire.send(1500 * MS, stream, r#"data: {"msg":"unexpected_error","event_id":null,"message":"x"}"#);
    wire.end(1501 * MS, stream);
    let jobs = read(&tracker(&wire));
    assert_eq!((only(&jobs).counters.ended, jobs.in_flight.total()), ([0, 1, 0, 0], 0));
}

#[test]
fn an_api_call_has_a_duration_but_no_queue_wait() {
    let mut wire = Wire::default();
    for (job, word) in [(1, "complete"), (2, "error")] {
        wire.call(1000 * MS, "predict", job);
        let stream = wire.call_stream(1010 * MS, "predict", job);
        assert_eq!(read(&tracker(&wire)).in_flight, InFlight { queued: 0, running: 0, unknown: 1 });
        wire.send(1500 * MS, stream, "event: heartbeat\ndata: null");
        wire.send(2000 * MS, stream, &format!("event: {word}\ndata: [1]"));
        wire.end(2001 * MS, stream);
    }
    let jobs = read(&tracker(&wire));
    let function = only(&jobs);
    assert_eq!((&*function.name, function.counters.ended), ("/predict", [1, 1, 0, 0]));
    assert_eq!((function.counters.durations.sum_ns, function.counters.started), (2000 * MS, 0));
    assert_eq!(jobs.ignored, Default::default());
}

#[test]
fn a_job_that_the_server_refuses_is_no_job() {
    let mut wire = Wire::default();
    let request = wire.ask(1000 * MS, "s", 1);
    wire.respond(1001 * MS, request, 503, r#"{"detail":"Queue is full."}"#);
    let jobs = read(&tracker(&wire));
    assert_eq!((jobs.functions.len(), jobs.in_flight.total()), (0, 0));
    assert_eq!((jobs.ignored.refused, jobs.ignored.unreadable), (1, 0));
}

#[test]
fn containers_are_separate_and_can_be_forgotten() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 1, 1);
    let mut tracker = tracker(&wire);
    for piece in &mut wire.pieces {
        piece.slot = 6;
    }
    wire.pieces.iter().for_each(|piece| tracker.on_piece(piece));
    assert_eq!(
        (read(&tracker).in_flight.queued, tracker.jobs(6, &[], "b").unwrap().in_flight.queued),
        (1, 1)
    );
    tracker.forget(5);
    assert!(tracker.jobs(5, &[], "a").is_none() && tracker.jobs(6, &[], "b").is_some());
}
