//! The lifetime of rows: creation, naming, restart, succession, end, expiry.

use std::{sync::OnceLock, time::Instant};

use super::*;
use crate::{
    analysis::{earlier_runs, exit_reason::ExitReasons},
    containers::metadata::Metadata,
    snapshot::{
        host::Host,
        lifecycle::{ContainerState, ExitReason},
        nvidia_driver::DriverUsage,
    },
};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// Some seconds after the start, on both clocks.
fn at(seconds: u64) -> Moment {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let monotonic = *BEGUN.get_or_init(Instant::now) + Duration::from_secs(seconds);
    Moment { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds), monotonic }
}

/// The same time, after the wall clock was set forward or back by `seconds`.
fn set_by(seconds: i64, now: Moment) -> Moment {
    let (forward, step) = (seconds >= 0, Duration::from_secs(seconds.unsigned_abs()));
    let wall = if forward { now.wall + step } else { now.wall - step };
    Moment { wall, ..now }
}

/// The rows of the first snapshot.
fn published(tracker: &mut Tracker, now: Moment) -> Vec<ContainerRow> {
    let mut rows = tracker.rows(now, 1);
    rows.iter_mut().for_each(earlier_runs::add);
    rows
}

fn tracker() -> (Tracker, MetadataStore) {
    let metadata = MetadataStore::new();
    (Tracker::new(metadata.clone(), Vec::new(), Duration::from_secs(300), 4), metadata)
}

fn discovery(id: &str, cgroup_id: u64) -> Discovery<'_> {
    Discovery {
        id,
        runtime: Runtime::Docker,
        cgroup_path: "/docker/x",
        cgroup_id,
        slot: None,
        made_at: Some(at(0).wall),
    }
}

fn named(metadata: &MetadataStore, id: &str, name: &str) {
    metadata.put(
        id,
        Metadata { runtime: Runtime::Docker, name: name.into(), image: "img".into(), ..Metadata::default() },
    );
}

#[test]
fn changed_rename_rules_apply_to_running_containers_and_a_changed_time_to_ended_ones() {
    let (mut tracker, metadata) = tracker();
    let (first, second) = (tracker.add(&discovery(ID, 7), at(0)), tracker.add(&discovery(OTHER, 8), at(0)));
    named(&metadata, ID, "web-1");
    tracker.name(at(0));
    let name = |tracker: &mut Tracker| tracker.get_mut(first).unwrap().row.identity.container.clone();
    assert_eq!(name(&mut tracker), "web-1");
    let rules = [Rename { name: "web-*".into(), to: "front-*".into() }];
    tracker.configure(&rules, Duration::from_secs(300));
    tracker.name(at(1));
    assert_eq!(name(&mut tracker), "front-1");
    tracker.configure(&[], Duration::from_secs(10));
    tracker.name(at(2));
    assert_eq!(name(&mut tracker), "web-1");
    tracker.end(second, at(3));
    let _final = tracker.rows(at(3), 1);
    tracker.expire(at(14), 1);
    assert!(tracker.get_mut(second).is_none(), "kept for longer than 10 s");
}

#[test]
fn a_container_without_any_runtime_is_shown_by_its_id_at_once() {
    let (mut tracker, _) = tracker();
    tracker.add(&discovery(ID, 7), at(0));
    tracker.name(at(1_000));
    let rows = published(&mut tracker, at(0));
    assert_eq!(rows[0].identity.container, ID[..12]);
    assert!(rows[0].owns_name);
}

#[test]
fn a_container_is_held_back_for_a_second_if_a_runtime_may_name_it() {
    let (mut tracker, metadata) = tracker();
    metadata.register(Runtime::Docker);
    metadata.set_connected(Runtime::Docker, Ok(()));
    tracker.add(&discovery(ID, 7), at(0));
    tracker.name(at(1_000));
    assert!(published(&mut tracker, at(0)).is_empty());
    assert_eq!(published(&mut tracker, at(1)).len(), 1);
    named(&metadata, ID, "web");
    tracker.name(at(1_000));
    assert_eq!(published(&mut tracker, at(0))[0].identity.container, "web");
}

#[test]
fn a_successor_with_the_same_name_takes_over_the_series() {
    let (mut tracker, metadata) = tracker();
    named(&metadata, ID, "web");
    let old = tracker.add(&discovery(ID, 7), at(0));
    tracker.end(old, at(5));
    named(&metadata, OTHER, "web");
    tracker.add(&discovery(OTHER, 8), at(6));
    tracker.name(at(1_000));
    let rows = published(&mut tracker, at(9));
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row.identity.container, "web");
        assert_eq!(row.owns_name, row.ended_at.is_none());
    }
}

#[test]
fn an_ended_container_keeps_its_name() {
    let (mut tracker, metadata) = tracker();
    let compose = |name: &str| Metadata {
        compose_service: Some("web".into()),
        name: name.into(),
        ..Metadata::default()
    };
    metadata.put(ID, compose("a_web_1"));
    metadata.put(OTHER, compose("b_web_1"));
    let first = tracker.add(&discovery(ID, 7), at(0));
    tracker.add(&discovery(OTHER, 8), at(0));
    tracker.name(at(1_000));
    let shown = |tracker: &mut Tracker| {
        published(tracker, at(9)).iter().map(|r| r.identity.container.clone()).collect()
    };
    let names: Vec<String> = shown(&mut tracker);
    assert_eq!(names, ["web", "b_web_1"], "both would be named web, and the first is older");
    tracker.end(first, at(5));
    tracker.name(at(1_000));
    let names: Vec<String> = shown(&mut tracker);
    assert_eq!(names, ["web", "b_web_1"], "the other keeps its name, too");
}

#[test]
fn a_restarted_container_replaces_the_row_of_its_earlier_run() {
    let (mut tracker, _) = tracker();
    let first = tracker.add(&discovery(ID, 7), at(0));
    tracker.end(first, at(5));
    assert_eq!(tracker.key_of_cgroup(7), None);
    let second = tracker.add(&discovery(ID, 8), at(6));
    assert_ne!(first, second);
    tracker.name(at(1_000));
    assert_eq!(published(&mut tracker, at(9)).len(), 1);
}

#[test]
fn a_restarted_container_continues_counting_its_kills_and_its_restarts() {
    let (mut tracker, _) = tracker();
    for status in 0..3 {
        let key = tracker.add(&discovery(ID, 7 + status), at(10 * status));
        tracker.get_mut(key).unwrap().row.oom.this_run = Some(2);
        tracker.name(at(1_000));
        let rows = published(&mut tracker, at(10 * status));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].oom.total(), rows[0].status.restarts), (Some(2 * status + 2), Some(status)));
        tracker.end(key, at(10 * status + 5));
        tracker.name(at(1_000));
    }
}

#[test]
fn the_last_exit_is_shown_for_five_minutes_and_during_the_next_run() {
    let (mut tracker, metadata) = tracker();
    named(&metadata, ID, "web");
    let key = tracker.add(&discovery(ID, 7), at(0));
    metadata.update_status(ID, |status| status.started(false));
    tracker.end(key, at(5));
    tracker.name(at(1_000));
    assert_eq!(
        published(&mut tracker, at(5))[0].status.last_exit.unwrap().code,
        None,
        "docker has not reported the exit yet"
    );
    metadata.update_status(ID, |status| status.died(Some(3), at(5).wall));
    tracker.name(at(1_000));
    let code = |tracker: &mut Tracker, now| published(tracker, now)[0].status.last_exit.map(|exit| exit.code);
    assert_eq!(code(&mut tracker, at(5)), Some(Some(3)));
    tracker.add(&discovery(ID, 8), at(6));
    metadata.update_status(ID, |status| status.started(true));
    tracker.name(at(1_000));
    assert_eq!(published(&mut tracker, at(6))[0].status.state, Some(ContainerState::Running));
    assert_eq!(code(&mut tracker, at(304)), Some(Some(3)));
    assert_eq!(code(&mut tracker, at(305)), None);
}

#[test]
fn an_oom_kill_that_is_read_after_the_exit_report_becomes_its_reason() {
    let (mut tracker, metadata) = tracker();
    named(&metadata, ID, "web");
    let key = tracker.add(&discovery(ID, 7), at(0));
    metadata.update_status(ID, |status| status.died(Some(137), at(5).wall));
    tracker.name(at(1_000));
    let reason =
        |tracker: &mut Tracker| published(tracker, at(6))[0].status.last_exit.and_then(|exit| exit.reason);
    assert_eq!(reason(&mut tracker), Some(ExitReason::Signal("SIGKILL")));
    tracker.get_mut(key).unwrap().row.oom =
        OomKills { this_run: Some(1), earlier_runs: 0, last_at: Some(at(6).wall) };
    tracker.name(at(1_000));
    assert_eq!(reason(&mut tracker), Some(ExitReason::OomKilled));
}

#[test]
fn final_counters_stay_for_five_minutes_and_no_longer() {
    let (mut tracker, _) = tracker();
    let key = tracker.add(&discovery(ID, 7), at(0));
    tracker.end(key, at(10));
    tracker.expire(at(309), 0);
    assert_eq!(published(&mut tracker, at(309)).len(), 1);
    tracker.expire(at(310), 0);
    assert!(published(&mut tracker, at(310)).is_empty());
    assert_eq!(tracker.dropped(), 0);
}

#[test]
fn a_burst_of_short_lived_containers_is_bounded_and_counted() {
    let (mut tracker, _) = tracker();
    for index in 0..10 {
        let id = format!("{index:064x}");
        let key = tracker.add(&discovery(&id, 100 + index), at(0));
        tracker.end(key, at(1));
    }
    tracker.expire(at(2), 1);
    assert_eq!(published(&mut tracker, at(2)).len(), 4);
    assert_eq!(tracker.dropped(), 6);
}

#[test]
fn a_container_that_no_runtime_reports_is_queued_once_for_a_lookup() {
    let (mut tracker, metadata) = tracker();
    named(&metadata, OTHER, "known");
    tracker.add(&discovery(OTHER, 6), at(0));
    tracker.add(&discovery(ID, 7), at(0));
    for name in ["a", "b", "c"] {
        named(&metadata, "unrelated", name);
        tracker.name(at(1_000));
    }
    assert_eq!(metadata.discoveries().borrow().all, 1);
    let unresolved = metadata.take_unresolved();
    assert_eq!((unresolved[0].id.as_str(), unresolved[0].cgroup_path.as_str()), (ID, "/docker/x"));
}

#[test]
fn the_replacement_of_a_kubernetes_container_continues_its_series() {
    let (mut tracker, metadata) = tracker();
    let attempt = |id: &str, attempt: u64| {
        let text = |text: &str| Some(text.to_owned());
        let names = Metadata {
            name: format!("k8s_app_web-0_prod_uid_{attempt}"),
            namespace: text("prod"),
            pod: text("web-0"),
            kubernetes_container: text("app"),
            ..Metadata::default()
        };
        metadata.put(id, names);
        metadata.update_status(id, |status| {
            status.restarts = Some(attempt);
            status.change(ContainerState::Running);
        });
    };
    attempt(ID, 6);
    let first = tracker.add(&discovery(ID, 7), at(0));
    tracker.name(at(1_000));
    metadata.update_status(ID, |status| status.died(Some(137), at(5).wall));
    tracker.get_mut(first).unwrap().row.oom =
        OomKills { this_run: Some(1), earlier_runs: 0, last_at: Some(at(5).wall) };
    tracker.end(first, at(5));
    attempt(OTHER, 7);
    tracker.add(&discovery(OTHER, 8), at(9));
    tracker.name(at(1_000));
    let mut owner = |now| published(&mut tracker, now).into_iter().find(|row| row.owns_name).unwrap();
    let row = owner(at(10));
    assert_eq!((row.identity.id.as_str(), row.identity.container.as_str()), (OTHER, "app"));
    assert_eq!((row.status.state, row.status.restarts), (Some(ContainerState::Running), Some(7)));
    let exit = row.status.last_exit.unwrap();
    assert_eq!((exit.code, exit.reason), (Some(137), Some(ExitReason::OomKilled)));
    assert_eq!(owner(at(305)).status.last_exit, None, "expired like any other exit");
}

/// The reason of the last exit, as the analysis completes it.
fn reason_shown(tracker: &mut Tracker, now: Moment) -> Option<ExitReason> {
    let mut rows = published(tracker, now);
    ExitReasons::default().fill(&mut rows, &Host::default(), now);
    rows.iter().find(|row| row.owns_name).unwrap().status.last_exit?.reason
}

fn refuse(tracker: &mut Tracker, key: u64, refused_at: Moment) {
    let driver = DriverUsage { refused_at: Some(refused_at.wall), ..DriverUsage::default() };
    tracker.get_mut(key).unwrap().row.nvidia_driver = Some(Box::new(driver));
}

#[test]
fn refused_gpu_memory_stays_the_reason_of_an_exit_that_no_tick_has_seen() {
    let (mut tracker, metadata) = tracker();
    named(&metadata, ID, "swap");
    let key = tracker.add(&discovery(ID, 7), at(0));
    refuse(&mut tracker, key, at(4));
    tracker.end(key, at(5));
    let key = tracker.add(&discovery(ID, 8), at(6));
    metadata.update_status(ID, |status| status.died(Some(1), at(5).wall));
    metadata.update_status(ID, |status| status.started(true));
    tracker.name(at(6));
    assert_eq!(reason_shown(&mut tracker, at(6)), Some(ExitReason::GpuMemory));
    // The next run is refused memory, too, and ends well.
    refuse(&mut tracker, key, at(60));
    assert_eq!(reason_shown(&mut tracker, at(60)), Some(ExitReason::GpuMemory));
    metadata.update_status(ID, |status| status.died(Some(0), at(61).wall));
    tracker.end(key, at(61));
    tracker.name(at(61));
    assert_eq!(reason_shown(&mut tracker, at(61)), Some(ExitReason::Completed));
    // The run after it fails without a refusal of its own.
    let key = tracker.add(&discovery(ID, 9), at(62));
    metadata.update_status(ID, |status| status.started(true));
    metadata.update_status(ID, |status| status.died(Some(1), at(90).wall));
    tracker.end(key, at(90));
    tracker.name(at(90));
    assert_eq!(reason_shown(&mut tracker, at(90)), Some(ExitReason::Error));
}

#[test]
fn refused_gpu_memory_stays_the_reason_of_the_exit_of_a_kubernetes_container_in_its_replacement() {
    let (mut tracker, metadata) = tracker();
    let text = |text: &str| Some(text.to_owned());
    let attempt = || Metadata {
        namespace: text("prod"),
        pod: text("web-0"),
        kubernetes_container: text("app"),
        ..Metadata::default()
    };
    metadata.put(ID, attempt());
    let first = tracker.add(&discovery(ID, 7), at(0));
    refuse(&mut tracker, first, at(4));
    metadata.update_status(ID, |status| status.died(Some(1), at(5).wall));
    tracker.end(first, at(5));
    metadata.put(OTHER, attempt());
    tracker.add(&discovery(OTHER, 8), at(9));
    for second in [9, 304] {
        tracker.name(at(second));
        assert_eq!(reason_shown(&mut tracker, at(second)), Some(ExitReason::GpuMemory), "{second}");
    }
    assert_eq!(reason_shown(&mut tracker, at(305)), None, "expired like any other exit");
}

#[test]
fn a_container_that_only_has_the_same_name_continues_nothing() {
    let (mut tracker, metadata) = tracker();
    named(&metadata, ID, "web");
    let old = tracker.add(&discovery(ID, 7), at(0));
    tracker.end(old, at(5));
    named(&metadata, OTHER, "web");
    tracker.add(&discovery(OTHER, 8), at(6));
    tracker.name(at(1_000));
    let row = published(&mut tracker, at(9)).into_iter().find(|row| row.owns_name).unwrap();
    assert_eq!((row.identity.id.as_str(), row.status.last_exit), (OTHER, None));
}

#[test]
fn a_step_of_the_wall_clock_changes_no_duration() {
    for step in [-3600, 3600] {
        let (mut tracker, metadata) = tracker();
        metadata.register(Runtime::Docker);
        metadata.set_connected(Runtime::Docker, Ok(()));
        named(&metadata, OTHER, "web");
        let ended = tracker.add(&discovery(OTHER, 8), at(0));
        tracker.add(&discovery(ID, 7), at(0));
        metadata.update_status(OTHER, |status| status.died(Some(3), at(5).wall));
        tracker.end(ended, at(5));
        tracker.name(at(5));
        for (seconds, rows) in [(6, 2), (304, 2), (305, 1)] {
            let now = set_by(step, at(seconds));
            tracker.expire(now, 1);
            tracker.name(now);
            let published = tracker.rows(now, 1);
            assert_eq!(published.len(), rows, "{seconds} s after the start, clock set by {step}");
            let exit = published.iter().find(|row| row.identity.id == OTHER).map(|row| row.status.last_exit);
            assert_eq!(exit.map(|exit| exit.is_some()), (rows == 2).then_some(true));
        }
        let mut fresh = self::tracker();
        fresh.1.register(Runtime::Docker);
        fresh.1.set_connected(Runtime::Docker, Ok(()));
        fresh.0.add(&discovery(ID, 7), at(0));
        let rows = |tracker: &mut Tracker, seconds| tracker.rows(set_by(step, at(seconds)), 1).len();
        assert_eq!((rows(&mut fresh.0, 0), rows(&mut fresh.0, 1)), (0, 1), "held back for a second");
    }
}

#[test]
fn a_step_of_the_wall_clock_changes_neither_the_time_since_the_exit_nor_the_wait_for_a_process() {
    for step in [-3600, 3600] {
        let (mut tracker, _) = tracker();
        let key = tracker.add(&discovery(ID, 7), at(0));
        tracker.get_mut(key).unwrap().look(Some(false));
        let running = [4, 5].map(|seconds| {
            tracker.name(set_by(step, at(seconds)));
            tracker.running()
        });
        assert_eq!(running, [1, 0], "clock set by {step}");
        tracker.end(key, at(5));
        let rows = published(&mut tracker, set_by(step, at(7)));
        assert_eq!(rows[0].ended_ago, Some(Duration::from_secs(2)), "clock set by {step}");
    }
}

#[test]
fn a_restarted_container_continues_its_counters() {
    let (mut tracker, metadata) = tracker();
    named(&metadata, ID, "loop");
    for run in 0..11 {
        let key = tracker.add(&discovery(ID, 7 + run), at(10 * run));
        let row = &mut tracker.get_mut(key).unwrap().row;
        row.cgroup.cpu.usage_ns = Some(190);
        row.cgroup.memory.usage_bytes = Some(run);
        tracker.name(at(10 * run));
        let rows = published(&mut tracker, at(10 * run));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].cgroup.cpu.usage_ns, Some(190 * (run + 1)));
        assert_eq!(rows[0].cgroup.memory.usage_bytes, Some(run), "a gauge");
        tracker.end(key, at(10 * run + 5));
    }
    assert_eq!(published(&mut tracker, at(110))[0].cgroup.cpu.usage_ns, Some(190 * 11));
}

#[test]
fn runs_that_end_before_their_files_are_read_count_the_on_cpu_time_of_the_kernel_program() {
    use crate::snapshot::scheduler::{Histogram, SchedulerCounters};
    let (mut tracker, _) = tracker();
    let waits = Histogram::default();
    let usage = SchedulerCounters { oncpu_ns: 100, voluntary_switches: 0, involuntary_switches: 0, waits };
    for run in 0..2 {
        let key = tracker.add(&discovery(ID, 7 + run), at(run));
        tracker.get_mut(key).unwrap().row.scheduler = Some(Box::new(usage));
        tracker.end(key, at(run));
    }
    tracker.name(at(2));
    assert_eq!(published(&mut tracker, at(2))[0].cgroup.cpu.usage_ns, Some(200));
}

#[test]
fn kubernetes_replacements_continue_the_counters_even_of_runs_between_two_ticks() {
    let (mut tracker, metadata) = tracker();
    let text = |text: &str| Some(text.to_owned());
    let oncpu = |oncpu_ns| {
        let waits = crate::snapshot::scheduler::Histogram::default();
        Some(Box::new(crate::snapshot::scheduler::SchedulerCounters {
            oncpu_ns,
            voluntary_switches: 0,
            involuntary_switches: 0,
            waits,
        }))
    };
    for attempt in 0..3_u64 {
        let id = format!("{attempt:064x}");
        let names = Metadata {
            namespace: text("prod"),
            pod: text("web-0"),
            kubernetes_container: text("app"),
            ..Metadata::default()
        };
        metadata.put(&id, names);
        let key = tracker.add(&discovery(&id, 7 + attempt), at(attempt));
        let row = &mut tracker.get_mut(key).unwrap().row;
        row.scheduler = oncpu(100);
        row.cgroup.cpu.usage_ns = Some(100);
        if attempt < 2 {
            tracker.end(key, at(attempt));
        }
    }
    for _ in 0..2 {
        tracker.name(at(3));
        let rows = published(&mut tracker, at(3));
        let owner = rows.iter().find(|row| row.owns_name).unwrap();
        assert_eq!(owner.scheduler.as_ref().unwrap().oncpu_ns, 300);
        assert_eq!(owner.cgroup.cpu.usage_ns, Some(100), "shown under its own ID");
        tracker.stale_names = true;
    }
    tracker.expire(at(3_000), 1);
    tracker.name(at(3_000));
    let rows = published(&mut tracker, at(3_000));
    assert_eq!((rows.len(), rows[0].scheduler.as_ref().unwrap().oncpu_ns), (1, 300));
}

#[test]
fn a_leftover_cgroup_neither_runs_nor_has_the_name_of_its_replacement() {
    let (mut tracker, metadata) = tracker();
    let web = |name: &str| Metadata {
        compose_project: Some("shop".into()),
        compose_service: Some("web".into()),
        compose_number: Some("1".into()),
        name: name.into(),
        ..Metadata::default()
    };
    for populated in [false, true] {
        let (id, other) = if populated { ("a", "b") } else { ("c", "d") };
        metadata.put(id, web("shop-web-1"));
        let old = tracker.add(&discovery(id, 7), at(0));
        tracker.get_mut(old).unwrap().look(Some(true));
        metadata.update_status(id, |status| status.started(false));
        tracker.name(at(1));
        tracker.get_mut(old).unwrap().look(Some(populated));
        metadata.update_status(id, |status| status.died(Some(137), at(5).wall));
        metadata.remove(id);
        metadata.put(other, web("shop-web-1"));
        metadata.update_status(other, |status| status.started(false));
        let new = tracker.add(&discovery(other, 8), at(6));
        tracker.name(at(6));
        let rows = published(&mut tracker, at(9));
        let row = |id: &str| rows.iter().find(|row| row.identity.id == id).unwrap();
        assert_eq!((row(id).is_running(), row(other).is_running()), (populated, true));
        assert_eq!(row(id).status.state, Some(ContainerState::Exited));
        assert_eq!(row(other).identity.container, "web-1");
        assert!(row(other).owns_name && !row(id).owns_name);
        tracker.end(old, at(10));
        tracker.end(new, at(10));
        tracker.expire(at(10_000), 1);
    }
}

#[test]
fn a_container_runs_if_it_has_processes_or_its_runtime_reports_that_it_runs() {
    use Option::{None as Unknown, Some as Known};
    let cases = [
        // populated, state, seconds since the first observation, was populated: runs
        (Known(true), None, 60, true, true),
        (Known(false), None, 60, true, false),
        (Known(false), None, 60, false, false),
        (Known(false), None, 1, false, true),
        (Known(false), None, 1, true, false),
        (Unknown, None, 60, false, true),
        (Known(false), Some(ContainerState::Running), 60, true, true),
        (Known(false), Some(ContainerState::Paused), 60, true, true),
        (Known(false), Some(ContainerState::Exited), 60, true, false),
        (Known(true), Some(ContainerState::Exited), 60, true, true),
        (Known(false), Some(ContainerState::Created), 60, false, false),
    ];
    for (populated, state, seconds, was_populated, runs) in cases {
        let (mut tracker, metadata) = tracker();
        named(&metadata, ID, "web");
        if let Some(state) = state {
            metadata.update_status(ID, |status| status.change(state));
        }
        let key = tracker.add(&discovery(ID, 7), at(0));
        let entry = tracker.get_mut(key).unwrap();
        entry.look(was_populated.then_some(true));
        entry.look(populated);
        tracker.name(at(seconds));
        let row = &published(&mut tracker, at(seconds))[0];
        assert_eq!(row.is_running(), runs, "{populated:?} {state:?} {seconds} {was_populated}");
        assert_eq!(tracker.running(), usize::from(runs));
    }
}

#[test]
fn final_counters_stay_until_they_are_scraped_even_if_they_need_not_be_kept() {
    let mut tracker = Tracker::new(MetadataStore::new(), Vec::new(), Duration::ZERO, 4);
    let key = tracker.add(&discovery(ID, 7), at(0));
    tracker.end(key, at(1));
    assert_eq!(tracker.rows(at(1), 5)[0].ended_ago, Some(Duration::ZERO));
    tracker.expire(at(30), 4);
    assert_eq!(tracker.rows(at(30), 6).len(), 1, "the scraper has only been given an older snapshot");
    tracker.expire(at(30), 5);
    assert!(tracker.rows(at(30), 7).is_empty());
    let key = tracker.add(&discovery(ID, 7), at(40));
    tracker.end(key, at(40));
    tracker.expire(at(101), 0);
    assert!(tracker.rows(at(101), 8).is_empty(), "there is no scraper");
}

#[test]
fn if_there_are_too_many_the_scraped_ones_are_dropped_first_and_not_counted_as_lost() {
    let (mut tracker, _) = tracker();
    let end = |tracker: &mut Tracker, index: u64| {
        let key = tracker.add(&discovery(&format!("{index:064x}"), 100 + index), at(0));
        tracker.end(key, at(1));
    };
    (0..2).for_each(|index| end(&mut tracker, index));
    assert_eq!(tracker.rows(at(2), 1).len(), 2);
    (2..8).for_each(|index| end(&mut tracker, index));
    tracker.expire(at(2), 1);
    let rows = tracker.rows(at(2), 2);
    let ids: Vec<_> = rows.iter().map(|row| row.identity.id.trim_start_matches('0')).collect();
    assert_eq!((ids, tracker.dropped()), (vec!["4", "5", "6", "7"], 2));
}
