//! What the end of the service leaves behind: nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::service::{self, Service};

/// The agent ends within a second on a real CPU. This one is emulated and shared. systemd would kill it after 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(9);
/// Time until the kernel has freed programs and maps.
const FREED_LIMIT: Duration = Duration::from_secs(30);

/// What can outlive a process: programs, maps, links, mounts, probes and temporary directories.
fn leftovers() -> BTreeSet<String> {
    let programs = aya::programs::loaded_programs().map(|program| {
        let program = program.unwrap();
        // Those of the unit's restrictions stay while systemd keeps the unit.
        let is_of_systemd = program.name_as_str().is_some_and(|name| name.starts_with("sd_"));
        (!is_of_systemd).then(|| format!("program {} {:?}", program.id(), program.name_as_str()))
    });
    let programs = programs.flatten();
    let maps = aya::maps::loaded_maps().map(|map| {
        let map = map.unwrap();
        format!("map {} {:?}", map.id(), map.name_as_str())
    });
    let links = aya::programs::loaded_links().map(|link| format!("link {}", link.unwrap().id()));
    let lines = |path: &str| {
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let names = ["/tmp", "/var/tmp", "/var/lib", "/run", "/dev/shm", "/sys/fs/bpf", "/var/lib/private"];
    let names = names.into_iter().flat_map(|directory| {
        let entries = fs::read_dir(directory).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path().display().to_string())
    });
    programs
        .chain(maps)
        .chain(links)
        .chain(lines("/proc/mounts"))
        .chain(lines("/sys/kernel/tracing/kprobe_events"))
        .chain(names)
        .collect()
}

#[test]
fn stopping_is_fast_and_leaves_nothing_behind() {
    let Some(service) = Service::installed("stopping_is_fast_and_leaves_nothing_behind") else { return };
    // Includes the directories of units that already ended.
    let before = leftovers();
    service.start("");
    let during = leftovers();
    assert!(during.iter().any(|one| one.contains("sched")), "the agent has no programs: {during:?}");
    let cgroup = format!("/sys/fs/cgroup{}", service::property("ControlGroup"));
    assert!(Path::new(&cgroup).exists(), "{cgroup}");
    let started = Instant::now();
    service::run("systemctl", &["stop", "glassbox"]);
    let took = started.elapsed();
    println!("stopped in {took:?}");
    assert!(took < STOP_LIMIT, "stopped in {took:?}");
    assert_eq!(service::property("Result"), "success");
    assert_eq!(service::property("ExecMainStatus"), "0");
    // The kernel frees programs after the last CPU has left them.
    let left = || leftovers().difference(&before).cloned().collect::<Vec<_>>();
    let begun = Instant::now();
    while !left().is_empty() {
        assert!(begun.elapsed() < FREED_LIMIT, "after {FREED_LIMIT:?} there is still: {:#?}", left());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!Path::new(&cgroup).exists(), "{cgroup}");
    assert_eq!(service.pid(), 0);
}
