use std::sync::Arc;

use super::*;
use crate::snapshot::{gpu::ContainerGpu, identity::Identity, requests::RequestUsage};

const SECOND: Duration = Duration::from_secs(1);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn activities_are_taken_in_order_and_their_sum_is_the_wall_time() {
    let spent = Spent {
        wall: SECOND,
        elapsed: SECOND,
        gpu: ms(300),
        driver: ms(100),
        on_cpu: ms(150),
        throttled: ms(50),
        waiting: ms(150),
        io_share: 0.1,
        wait: Some(Wait::Socket),
    };
    let time = split(&spent);
    let of = |activity| time.of(activity).as_millis();
    assert_eq!(Activity::ALL.map(of), [300, 100, 150, 50, 100, 100, 200, 0]);
    assert_eq!(time.total(), SECOND);
    // With more threads than wall time, later activities get nothing.
    let time = split(&Spent { on_cpu: 8 * SECOND, ..spent });
    assert_eq!(Activity::ALL.map(|activity| time.of(activity).as_millis()), [300, 100, 600, 0, 0, 0, 0, 0]);
}

#[test]
fn the_rest_is_what_the_threads_wait_for() {
    let rest = |wait| {
        let time = split(&Spent { wall: ms(400), elapsed: SECOND, wait, ..Spent::default() });
        let largest = Activity::ALL.into_iter().max_by_key(|activity| time.of(*activity));
        assert_eq!(time.total(), ms(400));
        largest
    };
    assert_eq!(rest(Some(Wait::Disk)), Some(Activity::Disk));
    assert_eq!(rest(Some(Wait::Socket)), Some(Activity::Socket));
    assert_eq!(rest(Some(Wait::Lock)), Some(Activity::Idle));
    assert_eq!(rest(Some(Wait::Stopped)), Some(Activity::Idle));
    assert_eq!(rest(None), Some(Activity::Idle));
}

#[test]
fn a_tick_without_work_adds_nothing() {
    let time = split(&Spent { wall: Duration::ZERO, elapsed: SECOND, on_cpu: SECOND, ..Spent::default() });
    assert_eq!(time, WorkTime::default());
    let time = split(&Spent::default());
    assert_eq!(time, WorkTime::default());
}

/// A container with one request in flight.
fn serving(key: u64, oldest: Option<Duration>) -> ContainerRow {
    let identity = Identity { container: "web".into(), ..Identity::default() };
    let mut row = ContainerRow::new(Arc::new(identity), std::time::SystemTime::UNIX_EPOCH);
    row.key = key;
    let in_flight = u64::from(oldest.is_some());
    row.requests = Some(Box::new(RequestUsage { in_flight, oldest, ..RequestUsage::default() }));
    row
}

#[test]
fn time_counts_while_a_request_is_in_flight_and_continues_across_runs() {
    let (mut times, begun) = (WorkTimes::default(), Instant::now());
    let mut at = |millis: u64, row: &mut ContainerRow| {
        times.fill(std::slice::from_mut(row), begun + ms(millis));
        row.work_time.map(|time| (time.total().as_millis(), time.of(Activity::OnCpu).as_millis()))
    };
    let mut row = serving(1, None);
    row.cgroup.cpu.usage_ns = Some(7_000_000_000);
    assert_eq!(at(0, &mut row), Some((0, 0)));
    // The request arrived 400 ms ago, and the CPU was used for half of the second.
    row = serving(1, Some(ms(400)));
    row.cgroup.cpu.usage_ns = Some(7_500_000_000);
    assert_eq!(at(1000, &mut row), Some((400, 200)));
    row.requests = serving(1, Some(ms(1400))).requests;
    assert_eq!(at(2000, &mut row), Some((1400, 200)));
    // It ended between two ticks after 1.9 s, of which 1.4 s have been counted.
    row.requests = serving(1, None).requests;
    if let Some(requests) = &mut row.requests {
        requests.measures.durations[crate::snapshot::requests::duration::RESPONSE].sum_ns = 1_900_000_000;
    }
    assert_eq!(at(3000, &mut row), Some((1900, 200)));
    assert_eq!(at(4000, &mut row), Some((1900, 200)), "idle");
    // A new run, whose counters start at other values.
    row = serving(2, Some(ms(500)));
    row.cgroup.cpu.usage_ns = Some(100);
    assert_eq!(
        at(5000, &mut row),
        Some((2400, 200)),
        "the first tick of a run has no differences of counters"
    );
}

#[test]
fn gpu_time_that_a_tick_saw_too_late_counts_in_the_next_one() {
    let (mut times, begun) = (WorkTimes::default(), Instant::now());
    let mut at = |second: u64, busy: Duration| {
        let mut row = serving(1, Some(Duration::from_secs(second)));
        row.gpus = vec![ContainerGpu { busy, ..ContainerGpu::default() }];
        times.fill(std::slice::from_mut(&mut row), begun + Duration::from_secs(second));
        row.work_time.map(|time| time.of(Activity::Gpu).as_millis())
    };
    // The GPU is busy for 0.9 s of each second. The reading of the first second arrives after the tick.
    let counted = [0, 0, 1800, 2700, 2700].map(ms);
    let shown: Vec<_> = (0..).zip(counted).filter_map(|(second, busy)| at(second, busy)).collect();
    assert_eq!(shown, [0, 0, 1000, 2000, 2700]);
}

#[test]
fn a_container_that_serves_no_requests_has_no_times() {
    let mut row = serving(1, None);
    row.requests = None;
    let mut times = WorkTimes::default();
    times.fill(std::slice::from_mut(&mut row), Instant::now());
    assert_eq!(row.work_time, None);
    assert!(times.histories.is_empty());
}

#[test]
fn pressure_that_is_read_at_every_third_tick_counts_for_each_of_them() {
    let begun = Instant::now();
    let mut pressure = Pressure { waiting_us: 0, changed: begun, share: 0.0 };
    let mut at = |second, waiting_us| {
        (pressure.read(waiting_us, SECOND, begun + Duration::from_secs(second)) * 10.0).round()
    };
    assert_eq!([at(1, 0), at(2, 0), at(3, 2_700_000)], [0.0, 0.0, 9.0]);
    assert_eq!([at(4, 2_700_000), at(5, 2_700_000), at(6, 4_200_000)], [9.0, 9.0, 5.0]);
    assert_eq!([at(7, 4_200_000), at(8, 4_200_000), at(9, 4_200_000)], [5.0, 5.0, 0.0]);
    assert_eq!([at(10, 5_200_000), at(11, 6_200_000)], [3.0, 10.0]);
}
