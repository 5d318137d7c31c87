//! The slot of a cgroup whose name repeats the ID of the container around it.

use std::time::{Duration, Instant};

use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    worker::{Work, Worker},
};

use super::{
    probe::ALONE,
    starts::{config, engine, row},
};

#[test]
fn a_nested_cgroup_that_repeats_the_container_id_counts_for_the_container_from_its_start() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let nested = Cgroup::new(cgroup.path(), &format!("kubelet.slice/docker/{id}/deeper")).unwrap();
    let worker = Worker::start(&nested, Work::SpinAndSleep, None);
    worker.go();
    std::thread::sleep(Duration::from_millis(300));
    engine.tick();
    let usage = row(&snapshots, &id).and_then(|row| row.scheduler).expect("kernel counters");
    assert!(usage.oncpu_ns > 20_000_000, "{usage:?}");
    let rows = snapshots.borrow().clone().unwrap();
    let rows = rows.containers.iter().filter(|row| row.identity.id == id && row.ended_at.is_none());
    assert_eq!(rows.count(), 1);
    drop(worker);
}

#[test]
fn a_nested_cgroup_with_another_id_is_a_separate_container() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let (outer, outer_id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let (inner, inner_id) = Cgroup::container(outer.path()).unwrap();
    let worker = Worker::start(&inner, Work::SpinAndSleep, None);
    worker.go();
    let oncpu_ns = |id: &str| row(&snapshots, id).and_then(|row| row.scheduler).map(|usage| usage.oncpu_ns);
    // An emulated CPU may be slow.
    let begun = Instant::now();
    while oncpu_ns(&inner_id).is_none_or(|ns| ns <= 20_000_000) && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(300));
        engine.tick();
    }
    assert!(oncpu_ns(&inner_id).is_some_and(|ns| ns > 20_000_000), "{:?}", oncpu_ns(&inner_id));
    assert!(oncpu_ns(&outer_id).is_some_and(|ns| ns < 5_000_000), "{:?}", oncpu_ns(&outer_id));
    drop(worker);
}
