//! Which jobs count for the health of a container: those that run while a client follows them.

use glassbox_ebpf::requests::piece::PieceKind;

use super::wire::{MS, Wire};
use crate::collectors::requests::gradio::{JobTracker, SILENCE_NS};

/// Jobs that are awaited after these pieces, and those in flight. All connections are open, or none.
fn counts(wire: &Wire, is_open: bool) -> (u64, u64) {
    let mut tracker = JobTracker::new();
    wire.pieces.iter().for_each(|piece| tracker.on_piece(piece));
    (tracker.awaited(5, 0, 0, |_| is_open), tracker.jobs(5, &[], "a").unwrap().in_flight.total())
}

#[test]
fn a_job_is_awaited_while_it_runs_and_its_stream_is_open() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 3, 1);
    assert_eq!(counts(&wire, true), (0, 1), "queued, without a stream");
    let stream = wire.stream(1050 * MS, "s");
    wire.report(1060 * MS, stream, "estimation", 1, r#","rank":1,"queue_size":2,"rank_eta":null"#);
    assert_eq!(counts(&wire, true), (0, 1), "queued");
    wire.starts(1100 * MS, stream, 1);
    assert_eq!(counts(&wire, true), (1, 1));
    assert_eq!(counts(&wire, false), (0, 1), "the connection is gone, and its end was not seen");
    wire.succeeds(2000 * MS, stream, 1);
    assert_eq!(counts(&wire, true), (0, 0));
}

#[test]
fn a_job_is_awaited_again_when_its_client_comes_back() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 3, 1);
    let stream = wire.stream(1050 * MS, "s");
    wire.starts(1100 * MS, stream, 1);
    wire.end(1200 * MS, stream);
    wire.stream(1300 * MS, "another");
    assert_eq!(counts(&wire, true), (0, 1), "only another client listens");
    wire.stream(1400 * MS, "s");
    assert_eq!(counts(&wire, true), (1, 1));
}

#[test]
fn an_api_call_is_awaited_while_its_stream_is_open() {
    let mut wire = Wire::default();
    wire.call(1000 * MS, "predict", 1);
    assert_eq!(counts(&wire, true), (0, 1), "no client has asked for the result");
    let stream = wire.call_stream(1010 * MS, "predict", 1);
    assert_eq!((counts(&wire, true), counts(&wire, false)), ((1, 1), (0, 1)));
    wire.send(1500 * MS, stream, "event: heartbeat\ndata: null");
    assert_eq!(counts(&wire, true), (1, 1));
    wire.piece(1600 * MS, stream, PieceKind::ResponseEnd, "", 0);
    assert_eq!(counts(&wire, true), (0, 1), "the client may ask again");
}

#[test]
fn no_job_is_awaited_for_ten_minutes_after_pieces_were_lost() {
    let mut wire = Wire::default();
    wire.join(1000 * MS, "s", 3, 1);
    let stream = wire.stream(1050 * MS, "s");
    wire.starts(1100 * MS, stream, 1);
    let mut tracker = JobTracker::new();
    wire.pieces.iter().for_each(|piece| tracker.on_piece(piece));
    let awaited = |now_ns: u64, lost_ns: u64| {
        let in_flight = tracker.jobs(5, &[], "a").unwrap().in_flight.total();
        assert_eq!(in_flight, 1, "the gauge does not change");
        tracker.awaited(5, lost_ns, now_ns, |_| true)
    };
    assert_eq!(awaited(2000 * MS, 0), 1);
    assert_eq!(awaited(3000 * MS, 2900 * MS), 0);
    assert_eq!(awaited(2900 * MS + SILENCE_NS, 2900 * MS), 0);
    assert_eq!(awaited(3000 * MS + SILENCE_NS, 2900 * MS), 1);
}
