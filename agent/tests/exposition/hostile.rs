//! No series is exported twice, whatever the rows of a snapshot contain. Prometheus and client libraries reject such a
//! scrape.

use std::collections::BTreeSet;

use glassbox::{
    exposition::Scope,
    snapshot::{
        Snapshot,
        agent::{CollectorStatus, MapStatus, ProgramStatus, RuntimeStatus},
        cgroup::{DeviceIo, HugePages, NumaPages},
        disk::{DiskSource, DiskUsage},
        gpu::{ContainerGpu, Gpu, KnownBy, MigInstance, NvmlUsage},
        network::InterfaceCounters,
        nvidia_driver::{CommandUsage, DriverUsage, Failure, FailureCount},
        scheduler::Histogram,
    },
};
use proptest::{collection::vec, prelude::*};

use glassbox_fixtures::{
    exposition::families,
    host::{host, identity, row, snapshot},
};

use super::golden::text;

/// Panics if a series occurs twice.
fn assert_unique(snapshot: &Snapshot) {
    let mut seen = BTreeSet::new();
    for family in families(&text(snapshot, Scope::All)) {
        for sample in family.samples {
            assert!(seen.insert((sample.name.clone(), sample.set_labels())), "twice: {sample:?}");
        }
    }
}

fn labels_of(snapshot: &Snapshot, family: &str, label: &str) -> Vec<String> {
    let families = families(&text(snapshot, Scope::All));
    let samples = families.into_iter().find(|other| other.name == family).map(|family| family.samples);
    let values = samples.into_iter().flatten().map(|sample| sample.labels.get(label).cloned());
    values.map(Option::unwrap_or_default).collect()
}

#[test]
fn mig_instances_without_uuids_are_labelled_by_index() {
    let mut snapshot = host();
    let instance = |index, uuid: &str| MigInstance {
        index,
        uuid: uuid.into(),
        memory_total_bytes: Some(1 << 30),
        memory_used_bytes: Some(index.into()),
    };
    snapshot.host.gpus[0].mig_instances = vec![instance(0, ""), instance(1, ""), instance(2, "MIG-1")];
    for family in ["glassbox_gpu_mig_memory_total_bytes", "glassbox_gpu_mig_memory_used_bytes"] {
        assert_eq!(labels_of(&snapshot, family, "mig_uuid"), ["0", "1", "MIG-1"]);
    }
    assert_unique(&snapshot);
}

#[test]
fn gpus_without_uuids_or_addresses_have_different_series() {
    let mut snapshot = host();
    let gpu = |index, up| Gpu { index, up, ..Gpu::default() };
    snapshot.host.gpus = vec![gpu(0, false), gpu(1, true), gpu(0, true)];
    let stray =
        |pci_bus_id: &str, known_by| Gpu { pci_bus_id: pci_bus_id.into(), known_by, ..Gpu::default() };
    snapshot.host.unreported_gpus = vec![stray("", KnownBy::Driver), stray("0001:00:01.0", KnownBy::Driver)];
    assert_eq!(labels_of(&snapshot, "glassbox_gpu_up", "gpu"), ["0", "1", "", ""]);
    assert_eq!(labels_of(&snapshot, "glassbox_gpu_up", "pci_bus_id"), ["", "", "unknown", "0001:00:01.0"]);
    assert_unique(&snapshot);
}

/// A few texts, so that equal ones are frequent.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("0".into()),
        Just("a".into()),
        Just("a\"}\n#\\,b=\"".into()),
        Just("größe\u{0}".into()),
        Just("x".repeat(5000)),
    ]
}

fn gpu() -> impl Strategy<Value = Gpu> {
    let instance = (0_u32..3, word()).prop_map(|(index, uuid)| MigInstance {
        index,
        uuid,
        memory_total_bytes: Some(1),
        memory_used_bytes: Some(1),
    });
    let xids = vec((0_u64..3, 0_u64..9), 0..4);
    let known_by = prop_oneof![Just(KnownBy::Nvml), Just(KnownBy::Driver), Just(KnownBy::Xid)];
    (0_u32..3, [word(), word(), word()], any::<bool>(), vec(instance, 0..4), xids, known_by).prop_map(
        |(index, [uuid, name, pci_bus_id], up, mig_instances, xids, known_by)| Gpu {
            known_by,
            index,
            uuid,
            name,
            pci_bus_id,
            up,
            mig_instances,
            xids,
            clocks_hertz: vec![("sm", 1.0), ("sm", 2.0)],
            ..Gpu::default()
        },
    )
}

fn driver(words: &[String]) -> DriverUsage {
    let durations = || Histogram { sum_ns: 1, ..Histogram::default() };
    let reasons = |word: &String| {
        [Failure::Status(word.clone().into()), Failure::Errno(word.clone().into())]
            .map(|reason| FailureCount { device: "ctl", command: word.clone().into(), reason, count: 1 })
    };
    DriverUsage {
        commands: words
            .iter()
            .map(|word| CommandUsage { device: "ctl", command: word.clone().into(), durations: durations() })
            .collect(),
        failures: words.iter().flat_map(reasons).collect(),
        polls: words.iter().map(|_| ("ctl", durations())).collect(),
        ..DriverUsage::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_combination_of_rows_exports_a_series_twice(
        names in vec((word(), word(), word(), any::<[bool; 2]>()), 0..5),
        words in vec(word(), 0..6),
        gpus in vec(gpu(), 0..5),
        strays in vec(gpu(), 0..4),
    ) {
        let rows = names.into_iter().map(|(container, path, pod, [owns_name, ended])| {
            let mut identity = identity(&container);
            identity.cgroup_path = path;
            identity.pod = Some(pod);
            identity.labels = words.iter().map(|word| (word.clone(), word.clone())).collect();
            let mut row = row(identity);
            row.owns_name = owns_name;
            row.ended_at = ended.then_some(row.last_seen);
            row.network = words
                .iter()
                .map(|word| InterfaceCounters { interface: word.clone(), ..InterfaceCounters::default() })
                .collect();
            row.cgroup.devices = words
                .iter()
                .map(|word| DeviceIo { name: word.as_str().into(), reads: Some(1), ..DeviceIo::default() })
                .collect();
            row.cgroup.huge_pages = words
                .iter()
                .map(|_| HugePages { page_size: "2MB", usage_bytes: Some(1), ..HugePages::default() })
                .collect();
            row.cgroup.numa_pages = words
                .iter()
                .map(|_| NumaPages { kind: "anon", scope: "hierarchy", node: 0, pages: 1 })
                .collect();
            row.disk = words.first().map(|word| Box::new(DiskUsage {
                device: word.as_str().into(),
                used_bytes: Some(1),
                limit_bytes: Some(1),
                source: DiskSource::Runtime,
            }));
            row.gpus = words
                .iter()
                .map(|word| ContainerGpu { uuid: word.clone(), processes: Some(1), ..ContainerGpu::default() })
                .collect();
            row.nvidia_driver = Some(Box::new(driver(&words)));
            row
        });
        let mut snapshot = snapshot(rows.collect());
        snapshot.host.gpus = gpus;
        snapshot.host.unreported_gpus = strays;
        snapshot.host.machine = host().host.machine;
        let twice = |name| [name, name];
        snapshot.host.nvml = Some(NvmlUsage {
            failures: twice("f").map(|name| (name, "other", 1)).into(),
            rejected: twice("power").map(|name| (name, 1)).into(),
            ..NvmlUsage::default()
        });
        let agent = &mut snapshot.agent;
        agent.collectors = twice("c").map(|name| CollectorStatus { name, up: true, duration: std::time::Duration::ZERO, errors: 0 }).into();
        agent.programs = twice("p").map(|name| ProgramStatus {
            name,
            collector: "c",
            hook: "kprobe",
            attached: true,
            runs: Some(1),
            run_time: std::time::Duration::ZERO,
        }).into();
        agent.maps = twice("M").map(|name| MapStatus { name, entries: Some(1), capacity: 1, memory_bytes: 1 }).into();
        agent.runtimes = twice("docker").map(|runtime| RuntimeStatus { runtime, connected: true }).into();
        agent.lost = twice("l").map(|source| (source, 1)).into();
        assert_unique(&snapshot);
    }
}
