//! Whatever the pieces are, nothing panics, memory is limited, and every job is counted once.

use glassbox_ebpf::requests::piece::{Piece, PieceKind};
use proptest::prelude::*;

use super::{
    histories::{history, plan},
    wire::{MS, Wire},
};
use crate::collectors::requests::gradio::{
    JOBS_MAX, JOBS_TOTAL, JobTracker, exchanges::EXCHANGES_MAX, recent::ENDED_MAX,
};

/// Checks the limits of a container.
pub(super) fn check_limits(tracker: &JobTracker, slot: u32) {
    let Some(container) = tracker.containers.get(&slot) else { return };
    let [unfinished, by_age, sessions, of_sessions, ended, early] = container.jobs.sizes();
    assert_eq!(unfinished, by_age);
    assert!(unfinished <= JOBS_MAX && ended <= ENDED_MAX && early <= 64);
    assert!(of_sessions <= unfinished && sessions <= unfinished + container.exchanges_len());
    assert!(container.exchanges_len() <= EXCHANGES_MAX);
    assert_eq!(container.jobs.in_flight().total(), unfinished as u64);
}

/// Checks the limits and the account of a container.
pub(super) fn check(tracker: &JobTracker, slot: u32) {
    check_limits(tracker, slot);
    let Some(container) = tracker.containers.get(&slot) else { return };
    let output = container.jobs.output(&[], "a").unwrap_or_default();
    let counted: u64 = output.functions.iter().flat_map(|function| function.counters.ended).sum();
    assert_eq!(counted + output.in_flight.total() + output.ignored.evicted, container.jobs.joined());
    assert!(output.functions.len() <= 33);
}

const FRAGMENTS: [&str; 24] = [
    "POST /queue/join HTTP/1.1\r\n",
    "POST /call/a HTTP/1.1\r\n",
    "POST /cancel HTTP/1.1\r\n",
    "GET /queue/data?session_hash=s HTTP/1.1\r\n",
    "GET /queue/data HTTP/1.1\r\n",
    "GET /call/a/00000000000000000000000000000001 HTTP/1.1\r\n",
    "{\"event_id\":\"00000000000000000000000000000001\"",
    "{\"event_id\":\"00000000000000000000000000000002\"",
    ",\"fn_index\":1",
    ",\"session_hash\":\"s\"}",
    "data: ",
    "{\"msg\":\"process_starts\",\"event_id\":\"00000000000000000000000000000001\"",
    "{\"msg\":\"process_starts\",\"event_id\":\"00000000000000000000000000000002\"",
    "{\"msg\":\"process_completed\",\"event_id\":\"00000000000000000000000000000001\"",
    "{\"msg\":\"close_stream\",\"event_id\":null}",
    "{\"msg\":\"unexpected_error\"}",
    "{\"msg\":\"progress\",\"event_id\":\"00000000000000000000000000000001\"}",
    ",\"output\":{}",
    ",\"output\":{\"data\":",
    ",\"success\":true}",
    "event: complete\n",
    "\n\n",
    "\"",
    "}",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..4)
            .prop_map(|words| words.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..300),
    ]
}

prop_compose! {
    fn any_piece()(
        at_ns in prop_oneof![0..100_000 * MS, any::<u64>()],
        connection in 0..6_u64,
        request in 0..3_u32,
        kind in 0..9_u32,
        text in text(),
        length in prop_oneof![Just(None), any::<u32>().prop_map(Some)],
        bytes_total in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
        status in prop::sample::select(&[0, 200, 503, u32::MAX][..]),
    ) -> Piece {
        let mut piece = Piece { at_ns, connection, request, slot: 1, kind, status, ..Piece::EMPTY };
        let filled = text.len().min(piece.bytes.len());
        piece.bytes[..filled].copy_from_slice(&text[..filled]);
        piece.length = length.unwrap_or(filled as u32);
        piece.bytes_total = bytes_total.unwrap_or(text.len() as u64);
        piece
    }
}

/// A change of a piece of a legal history.
#[derive(Clone, Debug)]
enum Mutation {
    Drop,
    Repeat,
    Byte(usize, u8),
    Length(u32),
    Kind(u32),
    Connection(u64),
    SwapWithNext,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        Just(Mutation::Drop),
        Just(Mutation::Repeat),
        Just(Mutation::SwapWithNext),
        (0..256_usize, any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        (0..300_u32).prop_map(Mutation::Length),
        (0..9_u32).prop_map(Mutation::Kind),
        (0..20_u64).prop_map(Mutation::Connection),
    ]
}

fn mutated(mut pieces: Vec<Piece>, mutations: Vec<(prop::sample::Index, Mutation)>) -> Vec<Piece> {
    for (index, mutation) in mutations {
        if pieces.is_empty() {
            break;
        }
        let (count, at) = (pieces.len(), index.index(pieces.len()));
        match mutation {
            Mutation::Drop => drop(pieces.remove(at)),
            Mutation::Repeat => pieces.insert(at, pieces[at]),
            Mutation::SwapWithNext => pieces.swap(at, (at + 1) % count),
            Mutation::Byte(place, byte) => pieces[at].bytes[place] = byte,
            Mutation::Length(length) => pieces[at].length = length,
            Mutation::Kind(kind) => pieces[at].kind = kind,
            Mutation::Connection(connection) => pieces[at].connection = connection,
        }
    }
    pieces
}

proptest! {
    #[test]
    fn arbitrary_pieces_never_panic_and_every_job_is_counted_once(
        pieces in prop::collection::vec(any_piece(), 0..60),
        ticks in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut tracker = JobTracker::new();
        for (number, piece) in pieces.iter().enumerate() {
            tracker.on_piece(piece);
            if ticks.iter().any(|tick| tick.index(pieces.len()) == number) {
                tracker.expire(piece.at_ns.saturating_add(3_000 * MS));
            }
            check(&tracker, 1);
        }
        tracker.expire(u64::MAX);
        check(&tracker, 1);
        let in_flight = tracker.jobs(1, &[], "a").map_or(0, |jobs| jobs.in_flight.total());
        prop_assert_eq!(in_flight, 0, "a job is in flight forever");
    }

    #[test]
    fn mutated_histories_never_panic_and_every_job_is_counted_once(
        plan in plan(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), mutation()), 1..20),
    ) {
        let jobs = plan.jobs.len() as u64;
        let mut tracker = JobTracker::new();
        for piece in mutated(history(&plan), mutations) {
            tracker.on_piece(&piece);
            check_limits(&tracker, 5);
        }
        check(&tracker, 5);
        tracker.expire(u64::MAX);
        check(&tracker, 5);
        let output = tracker.jobs(5, &[], "a").unwrap_or_default();
        let ended: u64 = output.functions.iter().flat_map(|function| function.counters.ended).sum();
        // A changed byte of an ID can make another job of a response that is repeated.
        prop_assert!(ended <= jobs + 20, "{} jobs, {} ends", jobs, ended);
        prop_assert_eq!(output.in_flight.total(), 0);
    }
}

#[test]
fn a_flood_of_jobs_is_limited_and_counted() {
    let mut tracker = JobTracker::new();
    let many = 3 * JOBS_MAX;
    for job in 0..many {
        let mut wire = Wire::default();
        wire.join(job as u64 * MS, &format!("s{job}"), job as u32, job);
        for mut piece in wire.pieces {
            piece.connection = job as u64;
            tracker.on_piece(&piece);
        }
    }
    check(&tracker, 5);
    let jobs = tracker.jobs(5, &[], "a").unwrap();
    assert_eq!(jobs.in_flight.queued, JOBS_MAX as u64);
    assert_eq!((jobs.ignored.evicted, tracker.evicted()), (2 * JOBS_MAX as u64, 2 * JOBS_MAX as u64));
    tracker.forget(5);
    assert_eq!(tracker.evicted(), 2 * JOBS_MAX as u64);
}

#[test]
fn a_flood_of_streams_is_limited() {
    let mut tracker = JobTracker::new();
    let mut wire = Wire::default();
    for stream in 0..3 * EXCHANGES_MAX as u64 {
        wire.stream(stream * MS, &format!("s{stream}"));
        wire.pieces.drain(..).for_each(|piece| tracker.on_piece(&piece));
    }
    check(&tracker, 5);
    assert!(wire.pieces.is_empty() && wire.connect().0 > 0);
    let odd = Piece { kind: PieceKind::ResponseEnd as u32, connection: u64::MAX, slot: 5, ..Piece::EMPTY };
    tracker.on_piece(&odd);
    check(&tracker, 5);
}

#[test]
fn many_containers_share_the_total() {
    let mut tracker = JobTracker::new();
    for slot in 0..100 {
        for job in 0..300 {
            let mut wire = Wire::default();
            wire.join(MS, "s", 1, job);
            for mut piece in wire.pieces {
                (piece.slot, piece.connection) = (slot, job as u64);
                tracker.on_piece(&piece);
            }
        }
    }
    tracker.expire(2 * MS);
    let unfinished: u64 = (0..100).map(|slot| tracker.jobs(slot, &[], "a").unwrap().in_flight.total()).sum();
    assert!((10_000..=JOBS_TOTAL as u64).contains(&unfinished), "{unfinished}");
    assert_eq!(unfinished + tracker.evicted(), 30_000);
}
