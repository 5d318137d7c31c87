//! The assignment of slots, the share of one container, and containers without a slot.

use std::{fs, time::Duration};

use glassbox::{
    config::{self, Config},
    kernel::slots::Sizes,
    snapshot::losses,
    tick::{Engine, Snapshots},
};
use glassbox_tests::{
    cgroup::{Cgroup, fresh_id, v2_root},
    setting::seconds,
    worker::{Work, Worker},
};

use super::{
    probe::ALONE,
    starts::{config, engine, entries, latest, lost, others, row, tick_until},
};

fn engine_for(containers_max: u32) -> (Engine, Snapshots) {
    let (mut engine, snapshots) = engine(Config {
        containers: config::Containers { max: containers_max.into(), ..config::Containers::default() },
        ..config()
    });
    engine.tick();
    (engine, snapshots)
}

fn has_slot(snapshots: &Snapshots, id: &str) -> bool {
    row(snapshots, id).is_some_and(|row| row.scheduler.is_some())
}

/// Makes the next tick walk the tree, because the path of this container is too long for an event.
pub(super) fn ask_for_walk() -> Cgroup {
    let long = ["x".repeat(250), "y".repeat(250), "z".repeat(250), "w".repeat(250)].join("/");
    Cgroup::new(&v2_root().unwrap(), &format!("glassbox-long/{long}/{}", fresh_id())).unwrap()
}

#[test]
fn a_container_without_a_slot_gets_one_when_it_is_free() {
    let _alone = ALONE.lock();
    let others = others();
    let (mut engine, snapshots) = engine_for(others + 1);
    let root = v2_root().unwrap();
    let _parent = Cgroup::new(&root, "docker").unwrap();
    let (first, first_id) = Cgroup::container(&root).unwrap();
    let (second, second_id) = Cgroup::container(&root).unwrap();
    let nested = Cgroup::new(second.path(), "init.scope").unwrap();
    let worker = Worker::start(&nested, Work::SpinAndSleep, None);
    engine.tick();
    assert!(has_slot(&snapshots, &first_id) && !has_slot(&snapshots, &second_id));
    assert_eq!(lost(&snapshots, "cgroup_slots"), 1);
    drop(first);
    engine.tick();
    assert!(has_slot(&snapshots, &second_id), "the slot that has become free");
    // Processes in its nested cgroups are counted after the next walk.
    engine.tick();
    worker.go();
    std::thread::sleep(Duration::from_millis(300));
    engine.tick();
    let usage = row(&snapshots, &second_id).and_then(|row| row.scheduler).expect("kernel counters");
    assert!(usage.oncpu_ns > 20_000_000, "{usage:?}");
    assert_eq!(lost(&snapshots, "cgroup_slots"), 1, "counted once");
    assert_eq!(entries(&snapshots, "SCHEDULER"), u64::from(others) + 1);
    drop(worker);
}

#[test]
fn the_exit_of_a_container_without_a_slot_is_noticed_within_two_ticks() {
    let _alone = ALONE.lock();
    let root = v2_root().unwrap();
    // One started before the agent, and one after it.
    let (before, before_id) = Cgroup::container(&root).unwrap();
    let (mut engine, snapshots) = engine_for(1);
    let (after, after_id) = Cgroup::container(&root).unwrap();
    let (_holder, _) = Cgroup::container(&root).unwrap();
    engine.tick();
    let ids = [before_id, after_id].map(|id| {
        let row = row(&snapshots, &id).expect("a row without a slot");
        (id, row.scheduler.is_some(), row.ended_at.is_some())
    });
    assert!(ids.iter().filter(|(_, has_slot, _)| *has_slot).count() <= 1, "{ids:?}");
    assert!(ids.iter().all(|(_, _, has_ended)| !has_ended));
    drop((before, after));
    engine.tick();
    engine.tick();
    for (id, ..) in ids {
        assert!(row(&snapshots, &id).expect("its final row").ended_at.is_some(), "{id}");
    }
}

#[test]
fn containers_within_one_container_take_at_most_half_of_the_slots() {
    let _alone = ALONE.lock();
    let others = others();
    let max = 2 * others + 32;
    let (mut engine, snapshots) = engine_for(max);
    let root = v2_root().unwrap();
    let (outer, outer_id) = Cgroup::container(&root).unwrap();
    let mut inner = Vec::new();
    for number in 0..2 * max {
        // Next to each other, nested, below cgroups that walks skip, and very deep.
        let place = match number % 4 {
            0 => "docker".to_owned(),
            1 => format!("docker/{}/docker", fresh_id()),
            2 => format!("nested{number}/deeper"),
            _ => ["a"; 40].join("/"),
        };
        inner.push(Cgroup::new(outer.path(), &format!("{place}/{}", fresh_id())).unwrap());
    }
    engine.tick();
    let (_victim, victim_id) = Cgroup::container(&root).unwrap();
    tick_until("wait for its slot", &mut engine, || has_slot(&snapshots, &victim_id));
    assert!(has_slot(&snapshots, &outer_id));
    let limit = u64::from(Sizes::for_containers(max).slots_per_container);
    let held = entries(&snapshots, "SCHEDULER");
    assert!(held <= u64::from(others) + 2 + limit, "{held} held, {others} others, limit {limit}");
    drop(inner);
    let all_free = || entries(&snapshots, "SCHEDULER") == u64::from(others) + 2;
    tick_until("wait for free slots", &mut engine, all_free);
    // The container's share is free again.
    let (_inner, inner_id) = {
        let id = fresh_id();
        (Cgroup::new(outer.path(), &format!("docker/{id}")).unwrap(), id)
    };
    tick_until("wait for its slot", &mut engine, || has_slot(&snapshots, &inner_id));
}

#[test]
fn existing_containers_within_one_container_take_at_most_half_of_the_slots() {
    let _alone = ALONE.lock();
    let others = others();
    let max = 2 * others + 32;
    let root = v2_root().unwrap();
    let (outer, outer_id) = Cgroup::container(&root).unwrap();
    let inner = |_| Cgroup::new(outer.path(), &format!("docker/{}", fresh_id())).unwrap();
    let _inner: Vec<_> = (0..max).map(inner).collect();
    let (mut engine, snapshots) = engine_for(max);
    // The kernel programs must take the slots of user space into account.
    let _more: Vec<_> = (0..max).map(inner).collect();
    engine.tick();
    let (_victim, victim_id) = Cgroup::container(&root).unwrap();
    tick_until("wait for its slot", &mut engine, || has_slot(&snapshots, &victim_id));
    assert!(has_slot(&snapshots, &outer_id));
    let limit = u64::from(Sizes::for_containers(max).slots_per_container);
    assert!(entries(&snapshots, "SCHEDULER") <= u64::from(others) + 2 + limit);
}

#[test]
fn cgroups_nested_in_one_container_fill_no_table_and_are_released() {
    let _alone = ALONE.lock();
    let others = others();
    let max = 256 + others;
    let limit = u64::from(Sizes::for_containers(max).nested_per_container);
    let root = v2_root().unwrap();
    let (outer, _) = Cgroup::container(&root).unwrap();
    let nest = |prefix: &str| {
        for number in 0..2200 {
            fs::create_dir(outer.path().join(format!("{prefix}{number}"))).unwrap();
        }
    };
    let remove = |prefix: &str| {
        for number in 0..2200 {
            fs::remove_dir(outer.path().join(format!("{prefix}{number}"))).unwrap();
        }
    };
    nest("before");
    let (mut engine, snapshots) = engine_for(max);
    let before = entries(&snapshots, "CGROUPS_FOUND");
    assert!(before >= limit && before <= limit + 2 * u64::from(others) + 1, "{before}, limit {limit}");
    assert!(lost(&snapshots, "cgroup_table") >= 2200 - limit);
    nest("after");
    assert!(lost_now(&mut engine, &snapshots, "cgroup_table") >= 2 * (2200 - limit));
    // A container with nested cgroups is counted completely, even if both tables are full.
    let (cgroup, id) = Cgroup::container(&root).unwrap();
    let nested = Cgroup::new(cgroup.path(), "init.scope").unwrap();
    let worker = Worker::start(&nested, Work::SpinAndSleep, None);
    worker.go();
    std::thread::sleep(Duration::from_millis(300));
    engine.tick();
    let usage = row(&snapshots, &id).and_then(|row| row.scheduler).expect("kernel counters");
    assert!(usage.oncpu_ns > 20_000_000, "{usage:?}");
    drop(worker);
    remove("before");
    remove("after");
    let _walk = ask_for_walk();
    let released = || entries(&snapshots, "CGROUPS_FOUND") + limit <= before;
    tick_until("wait for the entries of removed cgroups to be released", &mut engine, released);
    let table = lost_now(&mut engine, &snapshots, "cgroup_table");
    nest("again");
    remove("again");
    assert_eq!(
        lost_now(&mut engine, &snapshots, "cgroup_table"),
        table + 2200 - limit,
        "its share is free again"
    );
}

fn lost_now(engine: &mut Engine, snapshots: &Snapshots, source: &str) -> u64 {
    engine.tick();
    lost(snapshots, source)
}

/// `GLASSBOX_QUIET_S` sets the duration in seconds; the default is 20.
#[test]
fn every_source_of_losses_is_documented_and_a_quiet_host_loses_nothing() {
    let quiet = seconds("GLASSBOX_QUIET_S", Duration::from_secs(20));
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine_for(others() + 16);
    let root = v2_root().unwrap();
    let (lasting, _) = Cgroup::container(&root).unwrap();
    let worker = Worker::start(&lasting, Work::SpinAndSleep, None);
    worker.go();
    for second in 0..quiet.as_secs() {
        std::thread::sleep(Duration::from_secs(1));
        // Now and then a container with a nested cgroup starts and exits.
        if second % 5 == 0 {
            let (short, _) = Cgroup::container(&root).unwrap();
            let nested = Cgroup::new(short.path(), "init.scope").unwrap();
            let worker = Worker::start(&nested, Work::SpinAndSleep, None);
            worker.go();
            std::thread::sleep(Duration::from_millis(50));
            drop((worker, nested, short));
        }
        engine.tick();
    }
    let snapshot = latest(&snapshots);
    let mut counted: Vec<_> = snapshot.agent.lost.iter().map(|(source, _)| *source).collect();
    let mut documented: Vec<_> = losses::SOURCES.iter().map(|source| source.name).collect();
    counted.sort_unstable();
    documented.sort_unstable();
    assert_eq!(counted, documented, "a source of losses without a row in losses::SOURCES, or the reverse");
    let loss = |(source, count): &&(&'static str, u64)| *count > 0 && !losses::is_imprecision(source);
    let losses: Vec<_> = snapshot.agent.lost.iter().filter(loss).collect();
    assert!(losses.is_empty(), "{losses:?}");
    drop(worker);
}
