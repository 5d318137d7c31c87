use std::{sync::Arc, time::SystemTime};

use super::*;
use crate::snapshot::{Delivery, agent::AgentUsage, host::Host, identity::Identity, requests::RequestUsage};

fn request(number: u64, seconds: u64) -> SlowRequest {
    SlowRequest {
        number,
        method: "POST",
        route: "queue".into(),
        code: Some(200),
        ended: Instant::now(),
        duration: Duration::from_secs(seconds),
        first_byte: None,
        end: End::Complete,
    }
}

fn snapshot(slow: Vec<SlowRequest>) -> Snapshot {
    let identity = Identity { container: "web".into(), ..Identity::default() };
    let mut row = ContainerRow::new(Arc::new(identity), SystemTime::UNIX_EPOCH);
    row.requests = Some(Box::new(RequestUsage { slow, ..RequestUsage::default() }));
    Snapshot {
        delivery: Delivery::default(),
        taken_at: SystemTime::UNIX_EPOCH,
        containers: vec![row],
        host: Host::default(),
        agent: AgentUsage { lost: vec![(LOSS, 5)], ..AgentUsage::default() },
    }
}

#[test]
fn each_container_gets_a_line_before_any_gets_another() {
    let requests = || vec![("a", vec![1, 2, 3, 4]), ("quiet", vec![]), ("b", vec![5]), ("c", vec![6, 7])];
    assert_eq!(choose(requests(), 0, 4), (vec![("a", 1), ("b", 5), ("c", 6), ("a", 2)], 3));
    assert_eq!(choose(requests(), 1, 2), (vec![("b", 5), ("c", 6)], 5), "another container is first");
    assert_eq!(choose(requests(), 0, 100).1, 0);
    assert_eq!(choose::<&str, u32>(Vec::new(), 7, 4), (Vec::new(), 0));
}

#[test]
fn the_limit_is_that_of_the_time_since_the_last_tick() {
    let begun = Instant::now();
    let mut limit = Limit::default();
    assert_eq!(limit.refill(begun), LINES_PER_S);
    limit.lines = 0;
    let at = |ms| begun + Duration::from_millis(ms);
    assert_eq!(limit.refill(at(50)), 0);
    assert_eq!(limit.refill(at(100)), 1, "short ticks add up");
    assert_eq!(limit.refill(at(9_000)), 89, "after a long tick");
    assert_eq!(limit.refill(at(10_000)), LINES_PER_S, "and no longer");
}

#[test]
fn a_row_that_was_not_read_again_is_not_logged_again() {
    let (first, second) = (snapshot(vec![request(1, 2), request(2, 3)]), snapshot(vec![request(3, 1)]));
    let numbers = |now: &Snapshot, before: Option<&Snapshot>| -> Vec<u64> {
        unlogged(&now.containers[0], Recent::new(before)).iter().map(|request| request.number).collect()
    };
    assert_eq!(numbers(&first, None), [2, 1], "longest first");
    assert_eq!(numbers(&first, Some(&first)), [0; 0]);
    assert_eq!(numbers(&second, Some(&first)), [3]);
}

#[test]
fn requests_above_the_limit_are_counted_beside_those_that_the_kernel_did_not_send() {
    let mut log = SlowLog::default();
    let mut at_tick = |slow: Vec<SlowRequest>| {
        let mut snapshot = snapshot(slow);
        log.derive(&mut snapshot, Recent::default(), Moment::now());
        snapshot.agent.lost[0].1
    };
    assert_eq!(at_tick((1..=60).map(|number| request(number, 1)).collect()), 5 + 50);
    assert_eq!(at_tick(Vec::new()), 5 + 50, "the count stays");
}
