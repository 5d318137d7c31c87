//! Compares the exported values of a container with its cgroup files, on this kernel.

use std::{fs, path::Path, time::Duration};

use glassbox::exposition::{self, Scope, Text};
use glassbox_fixtures::exposition::Scrape;
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, v2_root},
    conformance::{
        source::{Directories, Source},
        table::{Row, compare, rows},
    },
    inapplicable,
    worker::{Work, Worker},
};

use super::{
    probe::ALONE,
    starts::{config, engine, latest},
};

/// Attempts until a value is between two readings of its file.
const LOOKS_MAX: u32 = 200;

#[test]
fn every_value_of_a_v2_container_matches_its_file() {
    let test = "every_value_of_a_v2_container_matches_its_file";
    let Some(root) = v2_root().filter(|root| root == Path::new(ROOT)) else {
        return inapplicable(test, "this host has cgroup v1, which other tests cover");
    };
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    let (cgroup, id) = Cgroup::container(&root).unwrap();
    for controller in ["+cpu", "+memory", "+io", "+pids"] {
        fs::write(root.join("docker/cgroup.subtree_control"), controller).unwrap();
    }
    for (file, limit) in [("cpu.max", "20000 100000"), ("memory.max", "67108864"), ("pids.max", "40")] {
        fs::write(cgroup.path().join(file), limit).unwrap();
    }
    let workers =
        [Work::Spin, Work::SpinAndSleep, Work::Sleep].map(|work| Worker::start(&cgroup, work, None));
    for worker in &workers {
        worker.go();
    }
    std::thread::sleep(Duration::from_millis(500));
    for worker in &workers {
        worker.stop();
    }
    let directories = Directories::of(workers[0].pid as u32);
    let files = |row: &Row| matches!(row.v2, Source::File { .. }) && !row.family.contains("_network_");
    let mut open: Vec<(Row, String)> =
        rows().into_iter().filter(files).map(|row| (row, String::new())).collect();
    let compared = open.len();
    let path = format!("/docker/{id}");
    for _ in 0..LOOKS_MAX {
        let before: Vec<_> = open.iter().map(|(row, _)| directories.values(row, true)).collect();
        engine.tick();
        let mut text = Text::default();
        exposition::encode(&latest(&snapshots), Scope::Inherited, &mut text);
        let scrape = Scrape::parse(std::str::from_utf8(&text.take()).unwrap());
        let mut still = Vec::new();
        for ((row, _), before) in open.into_iter().zip(before) {
            let after = directories.values(&row, true);
            if let Err(why) = compare(&scrape, ("id", &path), &row, &before, &after) {
                still.push((row, why));
            }
        }
        open = still;
        if open.is_empty() {
            break;
        }
    }
    let wrong: Vec<_> = open.iter().map(|(row, why)| format!("{}: {why}", row.family)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The container must have been throttled, otherwise nothing is compared.
    let throttled = fs::read_to_string(cgroup.path().join("cpu.stat")).unwrap();
    assert!(!throttled.contains("nr_throttled 0\n"), "{throttled}");
    let pressure = fs::read_to_string(cgroup.path().join("cpu.pressure")).unwrap_or_default();
    println!("{compared} rows compared; cpu.pressure is {pressure:?}");
}
