//! Containers that start and exit while the agent runs.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use glassbox::{
    config::{self, Config},
    kernel::{Kernel, Options},
    snapshot::{ContainerRow, Snapshot},
    tick::{Engine, Snapshots},
};
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, fresh_id, v2_root},
    inapplicable,
    worker::{Work, Worker},
};

use super::{probe::ALONE, slots::ask_for_walk};

pub(super) use super::lent::start as engine;

pub(super) fn config() -> Config {
    // The verifier needs seconds for the programs of `requests` on the emulated CPUs of a guest, at each start of an agent.
    Config {
        docker: config::Docker::off(),
        collectors: config::Collectors::without(&["requests"]),
        ..Config::default()
    }
}

pub(super) fn latest(snapshots: &Snapshots) -> Arc<Snapshot> {
    snapshots.borrow().clone().expect("a snapshot")
}

/// Ticks until a condition holds. One tick may not be enough: events and walks have a time budget, and after a walk that
/// took seconds, as in an emulated guest, the next one comes after ten times as long.
pub(super) fn tick_until(what: &str, engine: &mut Engine, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    engine.tick();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "timeout: {what}");
        std::thread::sleep(Duration::from_millis(20));
        engine.tick();
    }
}

/// The number of slots that the host's other containers hold. A killed test may have left cgroups in v1's trees; such a
/// container has no v2 cgroup and holds no slot.
pub(super) fn others() -> u32 {
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    entries(&snapshots, "SCHEDULER") as u32
}

pub(super) fn entries(snapshots: &Snapshots, map: &str) -> u64 {
    let snapshot = latest(snapshots);
    snapshot.agent.maps.iter().find(|status| status.name == map).and_then(|map| map.entries).unwrap()
}

pub(super) fn row(snapshots: &Snapshots, id: &str) -> Option<ContainerRow> {
    latest(snapshots).containers.iter().find(|row| row.identity.id == id).cloned()
}

pub(super) fn lost(snapshots: &Snapshots, source: &str) -> u64 {
    let snapshot = latest(snapshots);
    snapshot.agent.lost.iter().find(|(name, _)| *name == source).map(|(_, count)| *count).unwrap()
}

#[test]
fn a_container_that_runs_for_50_ms_between_ticks_has_its_cpu_time() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let worker = Worker::start(&cgroup, Work::Spin, None);
    worker.go();
    std::thread::sleep(Duration::from_millis(50));
    worker.stop();
    drop(worker);
    // The cgroup's own counter includes the exit of its process, which takes milliseconds on an emulated CPU.
    let run_time_ns = usage_ns(&cgroup);
    drop(cgroup);
    engine.tick();
    let row = row(&snapshots, &id).expect("the container's final row");
    assert!(row.ended_at.is_some());
    let usage = row.scheduler.expect("kernel counters");
    println!("counted {} ns, the kernel reports {run_time_ns} ns", usage.oncpu_ns);
    assert!(
        usage.oncpu_ns.abs_diff(run_time_ns) < run_time_ns / 10,
        "{} of {run_time_ns} ns",
        usage.oncpu_ns
    );
    assert_eq!(lost(&snapshots, "cgroup_slots"), 0);
}

#[test]
fn a_container_that_started_before_the_agent_is_counted() {
    let _alone = ALONE.lock();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let nested = Cgroup::new(cgroup.path(), "init.scope").unwrap();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let worker = Worker::start(&nested, Work::SpinAndSleep, None);
    worker.go();
    std::thread::sleep(Duration::from_millis(300));
    engine.tick();
    let usage = row(&snapshots, &id).and_then(|row| row.scheduler).expect("kernel counters");
    assert!(usage.oncpu_ns > 20_000_000, "work in a nested cgroup counts for the container: {usage:?}");
    drop(worker);
}

#[test]
fn a_container_has_a_slot_from_its_start_whatever_precedes_the_id_in_its_cgroup_name() {
    let _alone = ALONE.lock();
    let config = config();
    let options = Options { config: &config, hierarchy_id: 0, change_offsets: |_| () };
    let kernel = Kernel::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
    // The last prefix is as long as the programs read.
    for prefix in ["", "docker-", "cri-containerd-", "libpod-payload-", &format!("{}-", "x".repeat(62))] {
        let name = format!("docker/{prefix}{}", fresh_id());
        let cgroup = Cgroup::new(&v2_root().unwrap(), &name).unwrap();
        assert!(kernel.slots.created(cgroup.id().unwrap()).is_some(), "{name}");
    }
}

#[test]
fn a_container_with_the_longest_cgroup_name_is_found_by_a_walk() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let id = fresh_id();
    // 255 bytes: the programs read half of it, without any digit of the ID.
    let name = format!("{}-{id}", "x".repeat(190));
    let cgroup = Cgroup::new(&v2_root().unwrap(), &format!("docker/{name}")).unwrap();
    let worker = Worker::start(&cgroup, Work::SpinAndSleep, None);
    worker.go();
    let _walk = ask_for_walk();
    let is_counted = || {
        let usage = row(&snapshots, &id).and_then(|row| row.scheduler);
        usage.is_some_and(|usage| usage.oncpu_ns > 20_000_000)
    };
    tick_until("wait for it to be counted", &mut engine, is_counted);
    assert!(row(&snapshots, &id).unwrap().identity.cgroup_path.ends_with(&name));
    drop(worker);
}

#[test]
fn an_empty_cgroup_runs_again_within_ten_ticks_of_its_next_process() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let runs = || row(&snapshots, &id).map(|row| row.is_running());
    let first = Worker::start(&cgroup, Work::SpinAndSleep, None);
    tick_until("wait for it to run", &mut engine, || runs() == Some(true));
    drop(first);
    tick_until("wait for it to end", &mut engine, || runs() == Some(false));
    // Its end is known, so it is not read at every tick any more.
    engine.tick();
    let _second = Worker::start(&cgroup, Work::SpinAndSleep, None);
    let runs_again = (0..10).any(|_| {
        engine.tick();
        runs() == Some(true)
    });
    assert!(runs_again);
}

#[test]
fn a_cgroup_made_inside_a_container_belongs_to_it() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let nested = Cgroup::new(cgroup.path(), "system.slice/app.service").unwrap();
    let worker = Worker::start(&nested, Work::SpinAndSleep, None);
    worker.go();
    std::thread::sleep(Duration::from_millis(300));
    engine.tick();
    let usage = row(&snapshots, &id).and_then(|row| row.scheduler).expect("kernel counters");
    assert!(usage.oncpu_ns > 20_000_000, "{usage:?}");
    drop(worker);
}

#[test]
fn a_reused_slot_starts_at_zero() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(Config {
        containers: config::Containers { max: (others() + 1).into(), ..config::Containers::default() },
        ..config()
    });
    engine.tick();
    let (cgroup, _) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let worker = Worker::start(&cgroup, Work::SpinAndSleep, None);
    worker.go();
    std::thread::sleep(Duration::from_millis(100));
    drop(worker);
    drop(cgroup);
    engine.tick();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    engine.tick();
    let usage = row(&snapshots, &id).and_then(|row| row.scheduler).expect("the only slot, again");
    assert_eq!((usage.oncpu_ns, usage.waits.sum_ns), (0, 0));
    drop(cgroup);
}

/// The CPU time of a v2 cgroup in `cpu.stat`.
fn usage_ns(cgroup: &Cgroup) -> u64 {
    let stat = std::fs::read_to_string(cgroup.path().join("cpu.stat")).unwrap();
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
    usage.trim().parse::<u64>().unwrap() * 1000
}

#[test]
fn a_full_map_is_counted_and_all_containers_are_exported() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(Config {
        containers: config::Containers { max: (others() + 2).into(), ..config::Containers::default() },
        ..config()
    });
    engine.tick();
    let root = v2_root().unwrap();
    let containers: Vec<_> = (0..5).map(|_| Cgroup::container(&root).unwrap()).collect();
    tick_until("find all", &mut engine, || containers.iter().all(|(_, id)| row(&snapshots, id).is_some()));
    let rows: Vec<_> =
        containers.iter().map(|(_, id)| row(&snapshots, id).expect("a row without a slot")).collect();
    assert_eq!(rows.iter().filter(|row| row.scheduler.is_some()).count(), 2);
    assert_eq!(lost(&snapshots, "cgroup_slots"), 3);
    let ids: Vec<_> = containers.iter().map(|(_, id)| id.clone()).collect();
    drop(containers);
    // The slots are released, so the next two containers are counted again.
    tick_until("see the end of all", &mut engine, || {
        ids.iter().all(|id| row(&snapshots, id).is_none_or(|row| row.ended_at.is_some()))
    });
    let (_cgroup, id) = Cgroup::container(&root).unwrap();
    engine.tick();
    assert!(row(&snapshots, &id).is_some_and(|row| row.scheduler.is_some()));
}

#[test]
fn a_storm_of_starts_and_exits_leaves_no_slot_in_use() {
    let _alone = ALONE.lock();
    let others = others();
    let (mut engine, snapshots) = engine(Config {
        containers: config::Containers { max: (others + 64).into(), ..config::Containers::default() },
        ..config()
    });
    engine.tick();
    // With a scraper that does not come again, rows of ended containers are dropped.
    latest(&snapshots).delivery.mark_scraped();
    let root = v2_root().unwrap();
    for _ in 0..40 {
        let containers: Vec<_> = (0..32).map(|_| Cgroup::container(&root).unwrap()).collect();
        drop(containers);
        engine.tick();
    }
    tick_until("release the slots", &mut engine, || entries(&snapshots, "SCHEDULER") == u64::from(others));
    assert_eq!(lost(&snapshots, "cgroup_events") + lost(&snapshots, "cgroup_table"), 0);
    assert!(lost(&snapshots, "ended_containers") > 0, "1280 ended containers cannot all be kept");
}

#[test]
fn a_container_without_a_v2_cgroup_has_no_kernel_counters() {
    let test = "a_container_without_a_v2_cgroup_has_no_kernel_counters";
    let _alone = ALONE.lock();
    let tree = Path::new(ROOT).join("memory");
    if !tree.join("cgroup.procs").exists() {
        return inapplicable(test, "this host has no v1 hierarchy of the memory controller");
    }
    let others = others();
    let containers: Vec<_> = (0..2).map(|_| Cgroup::container(&tree).unwrap()).collect();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    for (_, id) in &containers {
        let row = row(&snapshots, id).expect("a container with a v1 cgroup");
        assert!(row.scheduler.is_none(), "{row:?}");
    }
    assert_eq!(entries(&snapshots, "SCHEDULER"), u64::from(others));
}

#[test]
fn program_statistics_are_sampled() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    let (cgroup, _) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let worker = Worker::start(&cgroup, Work::SpinAndSleep, None);
    worker.go();
    engine.tick();
    std::thread::sleep(Duration::from_millis(1100));
    engine.tick();
    let snapshot = latest(&snapshots);
    let program = snapshot.agent.programs.iter().find(|program| program.name == "scheduler_sched_switch");
    let program = program.expect("the main method");
    assert!(program.runs.is_some_and(|runs| runs > 100), "{program:?}");
    println!("{:?} for {:?} runs", program.run_time, program.runs);
}
