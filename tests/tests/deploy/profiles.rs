//! The pod of each profile, as the chart renders it, started by containerd and runc with the same restrictions as on a node:
//! which collectors work there, and whether docs/kubernetes.md says the same.

mod replay;

use std::{collections::BTreeMap, fs};

use glassbox_tests::{
    containerd::Containerd,
    deployment::{Tools, image},
    repository::in_repository,
    skip,
};

use self::replay::Replay;

const PROFILES: [&str; 3] = ["restricted", "full", "privileged"];

/// Series of the test's containers that show that a collector not only started: they need programs, cgroup files, /proc of
/// other processes, and the runtime's socket, from which the names come.
const SERIES: [(&str, &str); 8] = [
    ("cgroup", r#"container_cpu_usage_seconds_total{container="app""#),
    ("scheduler", r#"glassbox_container_oncpu_seconds_total{container="app""#),
    ("network", r#"container_network_receive_bytes_total{container="bridged""#),
    ("host_network", r#"glassbox_container_host_network_receive_bytes_total{container="app""#),
    ("sockets", r#"glassbox_container_socket_receive_bytes_total{container="app""#),
    ("requests", r#"glassbox_container_http_requests_total{container="app""#),
    ("requests", r#"glassbox_container_health{container="app""#),
    ("nvml", r#"glassbox_container_gpu_memory_used_bytes{container="app""#),
];

/// The collectors and whether they work, from a scrape.
fn collectors(scrape: &str) -> BTreeMap<String, bool> {
    let lines = scrape.lines().filter_map(|line| line.strip_prefix("glassbox_collector_up{collector=\""));
    lines
        .map(|line| line.split_once("\"} ").unwrap())
        .map(|(name, up)| (name.to_owned(), up == "1"))
        .collect()
}

/// The table of docs/kubernetes.md: whether a collector works, by collector and profile.
fn documented() -> BTreeMap<String, Vec<bool>> {
    let text = fs::read_to_string(in_repository("docs/kubernetes.md")).unwrap();
    let (_, table) = text.split_once("| collector | restricted | full | privileged |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let works = |cell: &&str| match *cell {
            "yes" => true,
            "no" => false,
            other => panic!("neither yes nor no: {other}"),
        };
        (cells[0].trim_matches('`').to_owned(), cells[1..].iter().map(works).collect())
    };
    rows.map(row).collect()
}

/// What the kernel enforces on the agent's process, from its /proc/PID/status.
fn status_of(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
}

/// The bits of BPF, PERFMON, SYS_PTRACE and DAC_READ_SEARCH, and for the profile `full` of NET_ADMIN.
fn capabilities(profile: &str) -> u64 {
    1 << 39 | 1 << 38 | 1 << 19 | 1 << 2 | if profile == "full" { 1 << 12 } else { 0 }
}

#[test]
fn the_collectors_of_each_profile_are_those_of_the_documentation() {
    let test = "the_collectors_of_each_profile_are_those_of_the_documentation";
    let (tools, containerd) = match Tools::find().and_then(|tools| Ok((tools, Containerd::start()?))) {
        Ok(found) => found,
        Err(reason) => return skip(test, &reason),
    };
    let workload = match replay::Workload::start(&containerd) {
        Ok(workload) => workload,
        Err(reason) => return skip(test, &reason),
    };
    let rootfs = tempfile::tempdir().unwrap();
    image::collect(glassbox_tests::agent::binary(), rootfs.path());
    workload.add_gpu_to(rootfs.path());
    let table = documented();
    for (index, profile) in PROFILES.into_iter().enumerate() {
        let works = |collector: &str| table.get(collector).is_some_and(|row| row[index]);
        let replay = Replay::start(&containerd, &tools, rootfs.path(), profile);
        if profile != "privileged" {
            let status = |key| status_of(replay.pod.pid(), key);
            assert_eq!(u64::from_str_radix(&status("CapBnd:"), 16), Ok(capabilities(profile)), "{profile}");
            assert_eq!(status("CapEff:"), status("CapBnd:"), "{profile}");
            let cgroups = |process| fs::read_link(format!("/proc/{process}/ns/cgroup")).unwrap();
            assert_ne!(cgroups(replay.pod.pid().to_string()), cgroups("self".into()), "{profile}");
            assert_eq!(
                (status("NoNewPrivs:").as_str(), status("Seccomp:").as_str()),
                ("1", "2"),
                "{profile}"
            );
        }
        let wanted: Vec<_> =
            SERIES.iter().filter(|(collector, _)| works(collector)).map(|pair| pair.1).collect();
        let scrape = replay.measure(&workload.serve(index, rootfs.path()), &wanted);
        let found = collectors(&scrape);
        assert_eq!(found.keys().collect::<Vec<_>>(), table.keys().collect::<Vec<_>>(), "rows of the table");
        for (collector, up) in found {
            assert_eq!(up, works(&collector), "{profile}: {collector}; log:\n{}", replay.pod.log());
        }
        for (collector, series) in SERIES {
            assert_eq!(replay::has(&scrape, series), works(collector), "{profile}: {series}");
        }
    }
}
