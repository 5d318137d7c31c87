//! The sizes of layers, with fake runtimes of all kinds on a Unix socket.

use super::*;
use crate::{
    containers::grpc::test_server::{Answer, Peer, SHORT_TIMEOUTS, UNIMPLEMENTED},
    snapshot::identity::Runtime,
};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const LONG: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(20);

fn stats(id: &str, timestamp: i64, bytes: Option<u64>) -> ContainerStats {
    let used_bytes = bytes.map(|value| UInt64Value { value });
    ContainerStats {
        attributes: Some(ContainerAttributes { id: id.into() }),
        writable_layer: Some(FilesystemUsage { timestamp, used_bytes }),
    }
}

fn source() -> Source {
    Source::socket(Runtime::CriO, 3)
}

/// Requests sizes until `done`, for ten seconds at most.
fn ask_until(peer: &Peer, layers: &Layers, mut done: impl FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(watch_at(SHORT_TIMEOUTS, source(), peer.socket(), PERIOD, layers.clone()));
        let begun = std::time::Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(10), "not done");
            sleep(Duration::from_millis(2)).await;
        }
    });
}

#[test]
fn the_runtime_is_queried_every_period_and_its_sizes_are_stored() {
    let peer = Peer::new(|path, _| {
        assert_eq!(path, LIST_CONTAINER_STATS);
        Answer::one(&ListContainerStatsResponse {
            items: vec![stats(A, 1, Some(24_576)), stats("empty", 1, Some(0))],
        })
    });
    let layers = Layers::default();
    ask_until(&peer, &layers, || peer.calls("ListContainerStats") >= 3);
    assert_eq!((layers.get(A, LONG), layers.get("empty", LONG)), (Some(24_576), Some(0)));
}

#[test]
fn a_layer_that_was_not_measured_yet_has_no_size() {
    let peer = Peer::new(|_, _| {
        let mut nameless = stats("x", 1, Some(1));
        nameless.attributes = None;
        let mut without = stats("without", 1, None);
        without.writable_layer = None;
        let unmeasured = vec![stats("not yet", 0, Some(0)), stats("unsaid", 1, None), nameless, without];
        Answer::one(&ListContainerStatsResponse { items: unmeasured })
    });
    let layers = Layers::default();
    ask_until(&peer, &layers, || peer.calls("ListContainerStats") >= 2);
    for id in ["not yet", "unsaid", "x", "without", ""] {
        assert_eq!(layers.get(id, LONG), None, "{id}");
    }
}

#[test]
fn after_an_error_the_last_sizes_stay_and_the_request_is_retried() {
    type Wrong = fn() -> Answer;
    let wrongs: [Wrong; 4] = [
        || Answer::Silence,
        || Answer::Garbage(vec![0, 0, 0, 0, 2, 0xff, 0xff]),
        || Answer::Refusal(13),
        || Answer::Endless(vec![0; 1 << 20]),
    ];
    for wrong in wrongs {
        let peer = Peer::new(move |_, _| wrong());
        let layers = Layers::default();
        layers.replace(source(), [(A.to_owned(), 7)]);
        ask_until(&peer, &layers, || peer.calls("ListContainerStats") >= 2);
        assert_eq!(layers.get(A, LONG), Some(7));
    }
}

#[test]
fn a_runtime_without_statistics_is_queried_less_often() {
    let peer = Peer::new(|_, _| Answer::Refusal(UNIMPLEMENTED));
    let begun = std::time::Instant::now();
    ask_until(&peer, &Layers::default(), || peer.calls("ListContainerStats") >= 3);
    assert!(begun.elapsed() >= PERIOD * NOT_OFFERED_PERIODS * 2, "{:?}", begun.elapsed());
}

#[test]
fn a_runtime_that_starts_later_is_found() {
    let peer = Peer::absent();
    let layers = Layers::default();
    let mut looks = 0;
    ask_until(&peer, &layers, || {
        looks += 1;
        if looks == 5 {
            peer.listen(|_, _| {
                Answer::one(&ListContainerStatsResponse { items: vec![stats(A, 1, Some(1))] })
            });
        }
        layers.get(A, LONG).is_some()
    });
}

proptest::proptest! {
    #[test]
    fn no_response_causes_a_panic_and_only_measured_sizes_are_returned(
        bytes in proptest::collection::vec(0u8.., 0..100), id in "[a-f0-9]{0,64}", timestamp: i64, used: Option<u64>,
    ) {
        use prost::Message as _;

        let _ = ListContainerStatsResponse::decode(bytes.as_slice());
        let one = stats(&id, timestamp, used);
        let mut wire = ListContainerStatsResponse { items: vec![one] }.encode_to_vec();
        let read = ListContainerStatsResponse::decode(wire.as_slice()).unwrap().items.remove(0);
        let expected = used.filter(|_| timestamp > 0).map(|used| (id, used));
        proptest::prop_assert_eq!(size(read), expected);
        // The same message, truncated and followed by random bytes.
        wire.truncate(wire.len() / 2);
        wire.extend(bytes);
        if let Ok(answer) = ListContainerStatsResponse::decode(wire.as_slice()) {
            let _ = answer.items.into_iter().filter_map(size).count();
        }
    }
}
