use std::sync::Arc;

use super::*;
use crate::snapshot::{
    gpu::ContainerGpu,
    identity::Identity,
    jobs::{InFlight, Jobs},
    requests::RequestUsage,
    sockets::{AcceptQueue, SocketUsage},
    threads::{ThreadActivity, Threads},
};

const LIMIT: Duration = Duration::from_secs(10);

fn decided(change: impl FnOnce(&mut Evidence)) -> Option<(&'static str, Option<&'static str>)> {
    let mut evidence = Evidence { in_flight: Some(1), ..Evidence::default() };
    change(&mut evidence);
    decide(&evidence, LIMIT).map(|health| (health.state(), health.reason().map(StuckReason::name)))
}

#[test]
fn each_row_of_the_table_can_apply() {
    let stuck = |reason| Some(("stuck", Some(reason)));
    assert_eq!(decided(|e| e.driver_waiting = Some(LIMIT)), stuck("nvidia_driver"));
    assert_eq!(decided(|e| (e.quiet, e.computes) = (LIMIT, true)), stuck("busy_loop"));
    for (wait, reason) in [
        (Some(Wait::Stopped), "stopped"),
        (Some(Wait::Disk), "disk"),
        (Some(Wait::Socket), "network"),
        (Some(Wait::Lock), "lock"),
        (None, "unknown"),
    ] {
        assert_eq!(decided(|e| (e.quiet, e.wait) = (LIMIT, wait)), stuck(reason));
    }
    assert_eq!(decided(|e| e.queue_grows = Some(LIMIT)), stuck("accept_queue"));
    let short = Some(Duration::from_secs(1));
    assert_eq!(decided(|e| (e.quiet, e.queue_grows) = (LIMIT, short)), stuck("accept_queue"));
    assert_eq!(decided(|_| ()), Some(("working", None)));
    assert_eq!(decided(|e| (e.in_flight, e.advanced) = (Some(0), true)), Some(("working", None)));
    assert_eq!(decided(|e| e.in_flight = Some(0)), Some(("idle", None)));
    assert_eq!(decided(|e| e.in_flight = None), None);
}

#[test]
fn a_hanging_driver_call_is_stuck_without_requests_and_all_limits_are_reached_exactly() {
    assert!(decided(|e| (e.in_flight, e.driver_waiting) = (None, Some(LIMIT))).is_some());
    let almost = LIMIT - Duration::from_millis(1);
    assert_eq!(decided(|e| e.driver_waiting = Some(almost)), Some(("working", None)));
    assert_eq!(decided(|e| (e.quiet, e.computes) = (almost, true)), Some(("working", None)));
    assert_eq!(decided(|e| e.queue_grows = Some(almost)), Some(("working", None)));
}

/// A container, and the time of its last tick.
struct Watched {
    states: HealthStates,
    row: ContainerRow,
    now: Instant,
    tick: Duration,
}

impl Watched {
    fn new() -> Self {
        let mut row = ContainerRow::new(Arc::new(Identity::default()), std::time::SystemTime::UNIX_EPOCH);
        row.requests = Some(Box::default());
        row.sockets = Some(Box::default());
        row.cgroup.cpu.usage_ns = Some(0);
        let (states, tick) = (HealthStates::new(LIMIT), Duration::from_secs(1));
        let mut watched = Self { states, row, now: Instant::now(), tick };
        watched.ticks(1, |_| ());
        watched
    }

    /// With another time between two ticks than a second.
    fn with_ticks_of(seconds: u64) -> Self {
        Self { tick: Duration::from_secs(seconds), ..Self::new() }
    }

    /// Ticks, with a change before each tick.
    fn ticks(
        &mut self,
        count: u64,
        mut change: impl FnMut(&mut ContainerRow),
    ) -> (&'static str, &'static str) {
        for _ in 0..count {
            self.now += self.tick;
            change(&mut self.row);
            self.states.fill(std::slice::from_mut(&mut self.row), self.now);
        }
        let health = self.row.health.unwrap();
        (health.state(), health.reason().map_or("none", StuckReason::name))
    }
}

fn requests(row: &mut ContainerRow) -> &mut RequestUsage {
    row.requests.as_mut().unwrap()
}

/// Requests that wait for the server.
fn unanswered(row: &mut ContainerRow, count: u64) {
    (requests(row).in_flight, requests(row).unanswered) = (count, count);
}

fn sockets(row: &mut ContainerRow) -> &mut SocketUsage {
    row.sockets.as_mut().unwrap()
}

fn threads(row: &mut ContainerRow, activity: ThreadActivity) {
    let mut threads = Threads::default();
    threads.add(activity);
    row.threads = Some(threads);
}

#[test]
fn a_blocked_container_is_stuck_after_the_limit_and_recovers_with_the_first_response() {
    let mut watched = Watched::new();
    assert_eq!(watched.ticks(60, |_| ()), ("idle", "none"));
    let blocked = |row: &mut ContainerRow| {
        unanswered(row, 1);
        threads(row, ThreadActivity::Lock);
    };
    // The first tick with the request does not show how long the request has waited.
    assert_eq!(watched.ticks(10, blocked), ("working", "none"));
    assert_eq!(watched.ticks(1, blocked), ("stuck", "lock"));
    let answered = |row: &mut ContainerRow| {
        unanswered(row, 0);
        requests(row).measures.durations[1].buckets[3] += 1;
    };
    assert_eq!(watched.ticks(1, answered), ("working", "none"));
    assert_eq!(watched.ticks(1, |_| ()), ("idle", "none"));
}

#[test]
fn a_changed_limit_applies_at_the_next_tick() {
    let mut watched = Watched::new();
    let blocked = |row: &mut ContainerRow| {
        unanswered(row, 1);
        threads(row, ThreadActivity::Lock);
    };
    assert_eq!(watched.ticks(4, blocked), ("working", "none"));
    let mut config = Config::default();
    config.health.stuck_after_s = Duration::from_secs(3).into();
    watched.states.configure(&config);
    assert_eq!(watched.ticks(1, blocked), ("stuck", "lock"));
}

#[test]
fn an_endless_loop_is_stuck_and_a_loop_with_responses_is_not() {
    let mut watched = Watched::new();
    let computing = |row: &mut ContainerRow| {
        unanswered(row, 1);
        *row.cgroup.cpu.usage_ns.as_mut().unwrap() += 900_000_000;
    };
    assert_eq!(watched.ticks(10, computing), ("working", "none"));
    assert_eq!(watched.ticks(1, computing), ("stuck", "busy_loop"));
    let with_responses = |row: &mut ContainerRow| {
        computing(row);
        requests(row).measures.durations[1].buckets[3] += 1;
    };
    assert_eq!(watched.ticks(60, with_responses), ("working", "none"));
}

#[test]
fn a_loop_that_gets_no_cpu_in_some_ticks_is_still_a_loop_and_what_blocks_later_is_the_reason() {
    let mut watched = Watched::new();
    let mut tick = 0;
    let starved = |row: &mut ContainerRow| {
        tick += 1;
        unanswered(row, 1);
        *row.cgroup.cpu.usage_ns.as_mut().unwrap() += if tick % 3 == 0 { 600_000_000 } else { 0 };
    };
    assert_eq!(watched.ticks(12, starved), ("stuck", "busy_loop"));
    assert_eq!(watched.ticks(8, |row| threads(row, ThreadActivity::Lock)), ("stuck", "lock"));
}

#[test]
fn waiting_for_a_cpu_counts_as_computing() {
    let mut watched = Watched::new();
    let starved = |row: &mut ContainerRow| {
        unanswered(row, 1);
        row.scheduler.get_or_insert_default().waits.sum_ns += 950_000_000;
        threads(row, ThreadActivity::Runs);
    };
    assert_eq!(watched.ticks(15, starved), ("stuck", "busy_loop"));
}

#[test]
fn acknowledgments_of_a_stopped_container_are_no_progress_and_sent_data_is() {
    let mut watched = Watched::new();
    let acknowledging = |row: &mut ContainerRow| {
        unanswered(row, 3);
        sockets(row).traffic.transmit_bytes[0] += 60;
        sockets(row).traffic.transmit_packets[0] += 1;
        threads(row, ThreadActivity::Stopped);
    };
    assert_eq!(watched.ticks(11, acknowledging), ("stuck", "stopped"));
    let sending = |row: &mut ContainerRow| sockets(row).traffic.transmit_bytes[0] += 1500;
    assert_eq!(watched.ticks(1, sending), ("working", "none"));
}

#[test]
fn gpu_time_is_progress_unless_the_gpus_only_look_busy() {
    let mut watched = Watched::new();
    watched.row.gpus = vec![ContainerGpu::default()];
    let computing = |row: &mut ContainerRow| {
        unanswered(row, 1);
        row.gpus[0].busy += Duration::from_secs(1);
    };
    assert_eq!(watched.ticks(60, computing), ("working", "none"));
    watched.row.gpu_state = Some(GpuState::Spinning);
    // The state of the first tick is as old as that tick.
    assert_eq!(
        watched.ticks(300 + 9, computing),
        ("working", "none"),
        "a small kernel may look the same for minutes"
    );
    assert_eq!(watched.ticks(1, computing), ("stuck", "unknown"));
    watched.row.gpu_state = Some(GpuState::Busy);
    assert_eq!(watched.ticks(1, computing), ("working", "none"));
}

#[test]
fn clients_that_give_up_and_retry_do_not_hide_a_stuck_container() {
    let mut watched = Watched::new();
    let mut tick = 0;
    // Each client waits for three ticks, and the next one comes after a tick without requests.
    let mut retrying = |row: &mut ContainerRow| {
        tick += 1;
        unanswered(row, u64::from(tick % 4 != 0));
    };
    assert_eq!(watched.ticks(18, &mut retrying).0, "working");
    assert_eq!(watched.ticks(1, &mut retrying).0, "stuck");
    assert_eq!(watched.ticks(1, &mut retrying).0, "stuck", "a moment without requests");
    assert_eq!(watched.ticks(9, |row| unanswered(row, 0)), ("idle", "none"));
}

#[test]
fn work_that_waits_for_its_client_is_never_stuck() {
    let mut watched = Watched::new();
    // Half a head, a slow upload, a client that does not read the response.
    let slow_clients = |row: &mut ContainerRow| (requests(row).in_flight, requests(row).unanswered) = (3, 0);
    assert_eq!(watched.ticks(600, slow_clients), ("working", "none"));
    let blocked = |row: &mut ContainerRow| (requests(row).in_flight, requests(row).unanswered) = (4, 1);
    assert_eq!(watched.ticks(10, blocked), ("working", "none"));
    assert_eq!(watched.ticks(1, blocked).0, "stuck");
}

#[test]
fn jobs_are_stuck_only_while_they_run_and_are_followed() {
    let jobs = |row: &mut ContainerRow, awaited| {
        let in_flight = InFlight { queued: 1, running: 1, unknown: 0 };
        row.jobs = Some(Box::new(Jobs { in_flight, awaited, ..Jobs::default() }));
    };
    let mut watched = Watched::new();
    assert_eq!(watched.ticks(600, |row| jobs(row, 0)), ("working", "none"));
    assert_eq!(watched.ticks(10, |row| jobs(row, 1)), ("working", "none"));
    assert_eq!(watched.ticks(1, |row| jobs(row, 1)).0, "stuck");
    // Messages were lost.
    assert_eq!(watched.ticks(10, |row| jobs(row, 0)), ("working", "none"));
}

#[test]
fn time_counts_from_the_first_tick_at_which_work_waits() {
    for (seconds, ticks) in [(1, 10), (5, 2), (9, 2), (10, 1), (15, 1), (60, 1)] {
        let mut watched = Watched::with_ticks_of(seconds);
        let waiting = |row: &mut ContainerRow| unanswered(row, 1);
        assert_eq!(watched.ticks(ticks, waiting), ("working", "none"), "ticks of {seconds} s");
        assert_eq!(watched.ticks(1, waiting).0, "stuck", "ticks of {seconds} s");
    }
}

#[test]
fn a_request_after_progress_or_after_an_idle_tick_has_only_just_begun_to_wait() {
    let mut watched = Watched::with_ticks_of(15);
    let answered = |row: &mut ContainerRow| {
        unanswered(row, 1);
        requests(row).measures.durations[1].buckets[3] += 1;
    };
    assert_eq!(watched.ticks(20, answered), ("working", "none"), "another request at each tick");
    assert_eq!(watched.ticks(1, |row| unanswered(row, 0)), ("idle", "none"));
    let mut tick = 0;
    let sometimes = |row: &mut ContainerRow| {
        tick += 1;
        unanswered(row, tick % 2);
    };
    assert_eq!(watched.ticks(21, sometimes), ("working", "none"));
}

#[test]
fn an_accept_queue_that_keeps_growing_is_stuck_and_a_burst_is_not() {
    let mut watched = Watched::new();
    let length = |row: &mut ContainerRow, more: u32| {
        let queue = sockets(row).accept_queue.get_or_insert(AcceptQueue { length: 0, limit: 128 });
        queue.length += more;
    };
    assert_eq!(watched.ticks(1, |row| length(row, 50)), ("idle", "none"));
    assert_eq!(watched.ticks(30, |_| ()), ("idle", "none"));
    assert_eq!(watched.ticks(11, |row| length(row, 1)), ("stuck", "accept_queue"));
}

#[test]
fn a_container_that_has_ended_and_one_without_requests_have_no_health() {
    let mut watched = Watched::new();
    watched.row.health = None;
    watched.row.requests = None;
    watched.states.fill(std::slice::from_mut(&mut watched.row), watched.now);
    assert_eq!(watched.row.health, None);
    assert!(watched.states.histories.is_empty());
}
