//! Hundreds of container starts and exits per second on a busy machine: no tick is late, and all are counted. Needs root.
//!
//! `GLASSBOX_STORM_S` sets the duration of the storm in seconds; the default is 15.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::Agent,
    cgroup::{Cgroup, fresh_id, v2_root},
    http,
    setting::seconds,
    skip,
    worker::{Work, Worker},
};

/// Starts per second, and as many exits.
const RATE: u32 = 500;
/// Duration of the storm.
const DEFAULT_DURATION: Duration = Duration::from_secs(15);
/// All starts and exits must be counted within this time after the storm.
const COUNT_TIMEOUT: Duration = Duration::from_secs(30);

const DISCOVERED: &str = "glassbox_containers_discovered_total";
const ENDED: &str = "glassbox_containers_ended_total";
const LOST: &str = "glassbox_lost_events_total{source=\"cgroup_events\"}";

fn value(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no series {series}"))
}

/// Number of containers whose start and exit were both counted between two scrapes, either as events or as losses.
fn counted(before: &str, after: &str) -> u64 {
    let grown = |series: &str| value(after, series) - value(before, series);
    grown(DISCOVERED).min(grown(ENDED)) + grown(LOST)
}

/// Creates and removes cgroups with names of containers. Returns their number.
fn churn(parent: &Cgroup, lasts: Duration) -> u64 {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < lasts {
        let directory = parent.path().join(fresh_id());
        fs::create_dir(&directory).unwrap();
        fs::remove_dir(&directory).unwrap();
        count += 1;
        let due = begun + Duration::from_secs(1) * count / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    u64::from(count)
}

#[test]
fn a_storm_of_containers_delays_no_tick_and_is_counted() {
    let test = "a_storm_of_containers_delays_no_tick_and_is_counted";
    // SAFETY: no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let Some(root) = v2_root().filter(|_| is_root) else {
        return skip(test, "needs root and a v2 hierarchy");
    };
    let lasts = seconds("GLASSBOX_STORM_S", DEFAULT_DURATION);
    let parent = Cgroup::new(&root, &format!("glassbox-storm-{}", std::process::id())).unwrap();
    let busy = Cgroup::new(&root, &format!("glassbox-busy-{}", std::process::id())).unwrap();
    let agent = Agent::start("[docker]\nenabled = false\n");
    let hogs = 2 * thread::available_parallelism().map_or(1, usize::from);
    let hogs: Vec<_> = (0..hogs).map(|_| Worker::start(&busy, Work::Spin, None)).collect();
    hogs.iter().for_each(Worker::go);
    let before = agent.metrics();
    let over = AtomicBool::new(false);
    let (made, answers) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(500));
                let begun = Instant::now();
                let status = http::get(agent.address, "/healthz").map(|answer| answer.status).ok();
                answers.push((status, begun.elapsed()));
            }
            answers
        });
        let made = churn(&parent, lasts);
        over.store(true, Ordering::Relaxed);
        (made, asking.join().unwrap())
    });
    let during = agent.metrics();
    // Some starts are still in the queue, and some are found only by a walk. A host this busy needs some seconds for that.
    let over = Instant::now();
    let mut after = agent.metrics();
    while over.elapsed() < COUNT_TIMEOUT && counted(&before, &after) < made {
        thread::sleep(Duration::from_millis(250));
        after = agent.metrics();
    }
    let settled = over.elapsed();
    drop(hogs);
    let grown = |series: &str| value(&after, series) - value(&before, series);
    let skipped =
        value(&during, "glassbox_ticks_skipped_total") - value(&before, "glassbox_ticks_skipped_total");
    let ticks = value(&during, "glassbox_ticks_total") - value(&before, "glassbox_ticks_total");
    let (discovered, ended, lost) = (grown(DISCOVERED), grown(ENDED), grown(LOST));
    let slowest = answers.iter().map(|(_, took)| *took).max().unwrap_or_default();
    println!(
        "{made} containers in {lasts:?}: {ticks} ticks, {skipped} skipped; {discovered} discovered, {ended} ended, \
         {lost} events lost, {settled:?} after the storm; /healthz within {slowest:?}"
    );
    assert!(made >= lasts.as_secs() * u64::from(RATE) / 2, "only {made} containers were made");
    assert_eq!(skipped, 0);
    assert!(ticks + 2 >= lasts.as_secs(), "{ticks} ticks in {lasts:?}");
    assert!(answers.iter().all(|(status, _)| *status == Some(200)), "{answers:?}");
    assert!(counted(&before, &after) >= made, "{settled:?} after the storm");
    assert!(discovered <= made + 64, "some were counted twice");
}
