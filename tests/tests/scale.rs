//! A thousand containers on one host. Needs root.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use glassbox::{
    config::{self, Config},
    containers::metadata::MetadataStore,
    exposition,
    tick::{Engine, Snapshots},
};
use glassbox_tests::cgroup::{Cgroup, ROOT, v2_root};

const CONTAINERS: usize = 1000;
/// Long enough for a debug build on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn a_thousand_containers_are_counted_and_exported() {
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let Some(v2) = v2_root().filter(|_| root) else {
        glassbox_tests::skip(
            "a_thousand_containers_are_counted_and_exported",
            "needs root and a v2 hierarchy",
        );
        return;
    };
    let config = Config {
        docker: config::Docker::off(),
        containers: config::Containers { max: (1024).into(), ..config::Containers::default() },
        ..Config::default()
    };
    let (mut engine, snapshots) = Engine::start(config, MetadataStore::new()).unwrap();
    engine.tick();
    // On a hybrid host a container has a cgroup in each hierarchy.
    let v1 = ["cpuacct", "memory", "blkio", "pids"].map(v1_tree);
    let trees: Vec<_> = v1.into_iter().chain([Some(v2)]).flatten().collect();
    let (mut cgroups, mut ids) = (Vec::new(), HashSet::new());
    for count in 1..=CONTAINERS {
        let id = glassbox_tests::cgroup::fresh_id();
        cgroups.extend(trees.iter().map(|tree| Cgroup::new(tree, &format!("docker/{id}")).unwrap()));
        ids.insert(id);
        if count % 100 == 0 {
            engine.tick();
        }
    }
    // A tick has a time budget for events. The agent's loop handles the rest before the next tick.
    let begun = Instant::now();
    while has_fewer(&snapshots, &ids) && begun.elapsed() < TIMEOUT {
        engine.tick();
    }
    let snapshot = snapshots.borrow().clone().unwrap();
    // This host may run other containers.
    let ours: Vec<_> = snapshot.containers.iter().filter(|row| ids.contains(&row.identity.id)).collect();
    assert_eq!(ours.len(), CONTAINERS);
    assert!(ours.iter().all(|row| row.scheduler.is_some() && row.cgroup.cpu.usage_ns.is_some()));
    assert!(ours.iter().all(|row| row.cgroup.processes.threads == Some(0)));
    let lost: u64 =
        snapshot.agent.lost.iter().filter(|(source, _)| source.starts_with("cgroup")).map(|l| l.1).sum();
    assert_eq!(lost, 0, "{:?}", snapshot.agent.lost);
    let mut text = exposition::Text::default();
    exposition::encode(&snapshot, exposition::Scope::All, &mut text);
    let text = text.take();
    let text = std::str::from_utf8(&text).unwrap();
    let shown = text.lines().filter(|line| line.starts_with("container_cpu_usage_seconds_total{")).count();
    assert!(shown >= CONTAINERS, "{shown}");
    println!("{CONTAINERS} containers: tick {:?}, {} bytes", snapshot.agent.tick_duration, text.len());
}

/// Whether the last snapshot lacks any of these containers, or their kernel counters.
fn has_fewer(snapshots: &Snapshots, ids: &HashSet<String>) -> bool {
    let snapshot = snapshots.borrow().clone();
    let rows = snapshot.iter().flat_map(|snapshot| &snapshot.containers);
    rows.filter(|row| ids.contains(&row.identity.id) && row.scheduler.is_some()).count() < ids.len()
}

fn v1_tree(controller: &str) -> Option<std::path::PathBuf> {
    Some(Path::new(ROOT).join(controller)).filter(|tree| tree.join("cgroup.procs").exists())
}
