//! Tests with the fixture hosts, and with files that appear late, never appear or are removed.

use std::{fs, path::Path, sync::Arc, time::SystemTime};

use super::*;
use crate::{
    config::{self, Config},
    snapshot::{
        cgroup::{
            CpuUsage, DeviceIo, HugePages, Limits, MemoryUsage, NumaPages, Pressure, Pressures, Processes,
        },
        identity::{Identity, Runtime},
    },
};

const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";

struct Host {
    collector: Box<dyn Collector>,
    container: Container,
    row: ContainerRow,
}

impl Host {
    fn new(cgroup_root: &Path, cgroup_path: &str) -> Self {
        Self::configured(cgroup_root, cgroup_path, &Config::default())
    }

    fn configured(cgroup_root: &Path, cgroup_path: &str, config: &Config) -> Self {
        let layout = Layout::detect(cgroup_root).unwrap();
        let mut context =
            Context { config, layout: &layout, kernel: None, kernel_error: None, layers: Default::default() };
        let identity = Arc::new(Identity {
            id: ID.into(),
            cgroup_path: cgroup_path.into(),
            runtime: Runtime::Docker,
            container: "c".into(),
            ..Identity::default()
        });
        let row = ContainerRow::new(Arc::clone(&identity), SystemTime::now());
        let container = Container { key: 1, identity, cgroup_id: 0, slot: None };
        Self { collector: (SPEC.start)(&mut context).unwrap(), container, row }
    }

    fn fixture(mode: &str, cgroup_path: &str) -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup");
        let config = Config {
            cgroup: config::Cgroup { hugetlb: true, numa: true },
            paths: config::Paths { sys: fixtures.join("sys"), ..config::Paths::default() },
            ..Config::default()
        };
        Self::configured(&fixtures.join(mode), cgroup_path, &config)
    }

    fn tick(&mut self) -> anyhow::Result<&CgroupUsage> {
        self.collector.collect(&self.container, &mut self.row)?;
        Ok(&self.row.cgroup)
    }
}

/// A container with a quota of half a CPU and a limit of 64 MiB, after some work, on 6.18.
fn expected_v1() -> CgroupUsage {
    CgroupUsage {
        cpu: CpuUsage {
            usage_ns: Some(391_900_188),
            user_ns: Some(340_000_000),
            system_ns: Some(40_000_000),
            periods: Some(11),
            throttled_periods: Some(6),
            throttled_ns: Some(156_775_573),
            burst_periods: Some(0),
            burst_ns: Some(0),
        },
        memory: MemoryUsage {
            usage_bytes: Some(65_662_976),
            working_set_bytes: Some(65_662_976 - 50_470_912),
            rss_bytes: Some(57_344),
            cache_bytes: Some(63_148_032),
            mapped_file_bytes: Some(0),
            swap_bytes: Some(0),
            max_usage_bytes: Some(66_715_648),
            kernel_bytes: Some(2_007_040),
            active_file_bytes: Some(12_677_120),
            inactive_file_bytes: Some(50_470_912),
            failcnt: Some(60),
            file_dirty_bytes: Some(36_700_160),
            file_writeback_bytes: Some(0),
            file_refaults: Some(92),
            anonymous_refaults: Some(0),
            page_faults: Some(1803),
            hierarchy_page_faults: Some(1803),
            major_page_faults: Some(2),
            hierarchy_major_page_faults: Some(2),
            ..MemoryUsage::default()
        },
        devices: vec![device()],
        pressure: Pressures::default(),
        processes: Processes { processes: Some(1), threads: Some(2), threads_max: Some(0) },
        huge_pages: Vec::new(),
        numa_pages: ["container", "hierarchy"].map(|scope| numa(scope, [15_417, 14, 0])).concat(),
        limits: Limits {
            cpu_period_us: Some(100_000),
            cpu_quota_us: Some(50_000),
            cpu_shares: Some(512),
            memory_limit_bytes: Some(64 << 20),
            memory_reservation_bytes: Some(32 << 20),
            memory_swap_limit_bytes: Some(128 << 20),
        },
    }
}

/// The device that the container read and wrote, the same on each fixture host.
fn device() -> DeviceIo {
    DeviceIo {
        number: (254, 0),
        name: "/dev/vda".into(),
        read_bytes: Some(1_396_736),
        written_bytes: Some(20_971_520),
        reads: Some(57),
        writes: Some(40),
        ..DeviceIo::default()
    }
}

fn pressure() -> Pressures {
    Pressures {
        cpu: Pressure { waiting_us: Some(1_731_480), stalled_us: Some(1_689_022) },
        memory: Pressure { waiting_us: Some(911), stalled_us: Some(905) },
        io: Pressure { waiting_us: Some(21_377), stalled_us: Some(20_854) },
    }
}

fn numa(scope: &'static str, pages: [u64; 3]) -> Vec<NumaPages> {
    let kinds = ["file", "anon", "unevictable"].into_iter().zip(pages);
    kinds.map(|(kind, pages)| NumaPages { kind, scope, node: 0, pages }).collect()
}

#[test]
fn a_v1_host_is_read_in_full() {
    assert_eq!(*Host::fixture("v1", &format!("/docker/{ID}")).tick().unwrap(), expected_v1());
}

#[test]
fn a_hybrid_host_is_read_from_its_v1_controllers_and_its_v2_tree() {
    let expected = CgroupUsage { pressure: pressure(), ..expected_v1() };
    assert_eq!(*Host::fixture("hybrid", &format!("/docker/{ID}")).tick().unwrap(), expected);
}

#[test]
fn a_v2_host_is_read_in_full() {
    // The files of a cgroup with the same limits on 6.1.
    let mut host = Host::fixture("v2", &format!("/system.slice/docker-{ID}.scope"));
    let expected = CgroupUsage {
        cpu: CpuUsage {
            usage_ns: Some(1_478_045_000),
            user_ns: Some(1_265_752_000),
            system_ns: Some(212_293_000),
            periods: Some(32),
            throttled_periods: Some(29),
            throttled_ns: Some(1_486_910_000),
            burst_periods: Some(0),
            burst_ns: Some(0),
        },
        memory: MemoryUsage {
            usage_bytes: Some(21_225_472),
            working_set_bytes: Some(21_225_472),
            rss_bytes: Some(49_152),
            cache_bytes: Some(20_971_520),
            mapped_file_bytes: Some(0),
            swap_bytes: Some(0),
            max_usage_bytes: Some(22_544_384),
            kernel_bytes: Some(98_304),
            active_file_bytes: Some(0),
            inactive_file_bytes: Some(0),
            failcnt: None,
            page_faults: Some(406),
            hierarchy_page_faults: Some(406),
            major_page_faults: Some(0),
            hierarchy_major_page_faults: Some(0),
            high_events: Some(0),
            max_events: Some(12),
            file_dirty_bytes: Some(0),
            file_writeback_bytes: Some(0),
            scanned_pages: Some(0),
            stolen_pages: Some(0),
            file_refaults: Some(0),
            anonymous_refaults: Some(0),
        },
        devices: vec![device()],
        pressure: pressure(),
        processes: Processes { processes: None, threads: Some(2), threads_max: Some(4096) },
        huge_pages: vec![HugePages {
            page_size: "2MB",
            usage_bytes: Some(0),
            max_usage_bytes: None,
            failcnt: Some(0),
        }],
        // The kernel reports anonymous memory first.
        numa_pages: vec![
            NumaPages { kind: "anon", scope: "hierarchy", node: 0, pages: 12 },
            NumaPages { kind: "file", scope: "hierarchy", node: 0, pages: 5120 },
            NumaPages { kind: "unevictable", scope: "hierarchy", node: 0, pages: 0 },
        ],
        limits: Limits {
            cpu_period_us: Some(100_000),
            cpu_quota_us: Some(50_000),
            cpu_shares: Some(500),
            memory_limit_bytes: Some(64 << 20),
            memory_reservation_bytes: Some(32 << 20),
            memory_swap_limit_bytes: Some(64 << 20),
        },
    };
    assert_eq!(*host.tick().unwrap(), expected);
}

/// A v2 host with one container that has no files.
fn empty_host() -> (tempfile::TempDir, std::path::PathBuf, Host) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("cgroup.controllers"), "cpu memory io pids\n").unwrap();
    let directory = root.path().join("docker").join(ID);
    fs::create_dir_all(&directory).unwrap();
    let host = Host::new(root.path(), &format!("/docker/{ID}"));
    (root, directory, host)
}

#[test]
fn a_missing_limit_is_0_and_a_missing_quota_is_none() {
    let (_root, directory, mut host) = empty_host();
    for (file, text) in [
        ("cpu.max", "max 100000\n"),
        ("cpu.weight", "100\n"),
        ("cpu.stat", "usage_usec 5\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"),
        ("memory.max", "max\n"),
        ("memory.min", "0\n"),
    ] {
        fs::write(directory.join(file), text).unwrap();
    }
    let usage = host.tick().unwrap();
    let limits = Limits {
        cpu_period_us: Some(100_000),
        cpu_quota_us: None,
        cpu_shares: Some(2597),
        memory_limit_bytes: Some(0),
        memory_reservation_bytes: Some(0),
        memory_swap_limit_bytes: None,
    };
    assert_eq!(usage.limits, limits);
    assert_eq!(usage.cpu, CpuUsage { usage_ns: Some(5000), ..CpuUsage::default() });
    assert_eq!(text::limit("9223372036854771712\n"), Some(0));
    assert_eq!(text::limit("4611686018427387904\n"), Some(1 << 62));
}

#[test]
fn v1_values_include_nested_cgroups() {
    let mut usage = CgroupUsage::default();
    let stat = v1::MEMORY.iter().find(|source| source.file == "memory.stat").unwrap();
    (stat.parse)("cache 1\nrss 2\npgfault 3\ntotal_cache 10\ntotal_rss 20\ntotal_pgfault 30\n", &mut usage);
    let memory = usage.memory;
    assert_eq!((memory.cache_bytes, memory.rss_bytes), (Some(10), Some(20)));
    assert_eq!((memory.page_faults, memory.hierarchy_page_faults), (Some(3), Some(30)));
}

#[test]
fn the_working_set_excludes_the_inactive_file_cache_and_is_never_negative() {
    let (_root, directory, mut host) = empty_host();
    fs::write(directory.join("memory.current"), "1000\n").unwrap();
    fs::write(directory.join("memory.stat"), "anon 1\ninactive_file 300\n").unwrap();
    assert_eq!(host.tick().unwrap().memory.working_set_bytes, Some(700));
    fs::write(directory.join("memory.stat"), "inactive_file 3000\n").unwrap();
    assert_eq!(host.tick().unwrap().memory.working_set_bytes, Some(0));
}

#[test]
fn a_file_that_appears_late_is_read_and_one_that_never_appears_is_given_up() {
    let (_root, directory, mut host) = empty_host();
    fs::write(directory.join("cpu.stat"), "usage_usec 1\n").unwrap();
    for _ in 0..4 {
        assert_eq!(host.tick().unwrap().memory.usage_bytes, None);
    }
    fs::write(directory.join("memory.current"), "7\n").unwrap();
    assert_eq!(host.tick().unwrap().memory.usage_bytes, Some(7));
    fs::write(directory.join("memory.peak"), "9\n").unwrap();
    assert_eq!(host.tick().unwrap().memory.max_usage_bytes, None);
}

#[test]
fn counters_are_read_at_every_tick_and_limits_at_the_first_five_and_every_tenth() {
    let (_root, directory, mut host) = empty_host();
    for tick in 0..24u64 {
        fs::write(directory.join("memory.current"), format!("{tick}\n")).unwrap();
        fs::write(directory.join("memory.max"), format!("{tick}\n")).unwrap();
        let usage = host.tick().unwrap();
        assert_eq!(usage.memory.usage_bytes, Some(tick));
        // The first container's turn is at ticks 9, 19 and so on.
        let read_at = if tick < 5 { tick } else { ((tick + 1) / 10 * 10).max(5) - 1 };
        assert_eq!(usage.limits.memory_limit_bytes, Some(read_at), "tick {tick}");
    }
}

#[test]
fn a_container_that_vanishes_keeps_its_last_values() {
    let (root, directory, mut host) = empty_host();
    fs::write(directory.join("memory.current"), "7\n").unwrap();
    fs::write(directory.join("memory.max"), "8\n").unwrap();
    let before = host.tick().unwrap().clone();
    drop(root);
    for _ in 0..20 {
        assert_eq!(*host.tick().unwrap(), before);
    }
}

#[test]
fn a_container_without_any_readable_file_is_an_error_once() {
    let (_root, _directory, mut host) = empty_host();
    let outcomes: Vec<bool> = (0..20).map(|_| host.tick().is_err()).collect();
    assert_eq!(outcomes.iter().filter(|failed| **failed).count(), 1);
    assert!(outcomes[4], "{outcomes:?}");
}

#[test]
fn malformed_text_keeps_the_last_values() {
    let (_root, directory, mut host) = empty_host();
    fs::write(directory.join("memory.current"), "7\n").unwrap();
    fs::write(directory.join("memory.stat"), "anon 5\n").unwrap();
    host.tick().unwrap();
    for nonsense in [&b""[..], b"x\n", b"-1\n", b"99999999999999999999\n", b"\xff\xfe\n", &[b'1'; 40_000]] {
        for file in ["memory.current", "memory.stat", "cpu.stat", "cpu.max", "cpu.weight", "memory.max"] {
            fs::write(directory.join(file), nonsense).unwrap();
        }
        let _ = host.tick();
        assert_eq!(host.row.cgroup.memory.usage_bytes, Some(7), "{nonsense:?}");
        assert_eq!(host.row.cgroup.memory.rss_bytes, Some(5));
    }
}

#[test]
fn forgetting_a_container_closes_its_files() {
    let open =
        || fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let (root, directory, mut host) = empty_host();
    fs::write(directory.join("memory.current"), "7\n").unwrap();
    fs::write(directory.join("memory.max"), "7\n").unwrap();
    host.tick().unwrap();
    let held = || open().filter(|path| path.starts_with(root.path())).count();
    assert_eq!(held(), 1, "a counter is held open, a limit is not");
    host.collector.forget(&host.container);
    assert_eq!(held(), 0);
}

#[test]
fn beyond_the_limit_on_open_files_files_are_opened_for_each_read() {
    let (_root, directory, mut host) = empty_host();
    fs::write(directory.join("memory.current"), "7\n").unwrap();
    let mut reader = Reader::new();
    reader.open_max = 0;
    let mut tracked = ContainerFiles::new([(directory.clone(), v2::MEMORY)].into_iter(), 0);
    tracked.read(&mut reader, &mut host.row.cgroup).unwrap();
    fs::write(directory.join("memory.current"), "8\n").unwrap();
    tracked.read(&mut reader, &mut host.row.cgroup).unwrap();
    assert_eq!(host.row.cgroup.memory.usage_bytes, Some(8));
    assert_eq!(reader.open, 0);
    tracked.release(&mut reader);
}

#[test]
fn a_file_that_vanishes_between_two_reads_does_not_affect_the_others() {
    let (_root, directory, mut host) = empty_host();
    for (file, text) in [
        ("memory.current", "7\n"),
        ("memory.stat", "anon 5\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n"),
        ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=6\n"),
        ("cgroup.procs", "1\n"),
        ("memory.max", "8\n"),
    ] {
        fs::write(directory.join(file), text).unwrap();
    }
    let before = host.tick().unwrap().clone();
    // An open file keeps its last text after its removal here; the files of a removed cgroup return none. Files that
    // are opened for each read no longer exist.
    for file in ["memory.stat", "io.stat", "cgroup.procs", "memory.max"] {
        fs::remove_file(directory.join(file)).unwrap();
    }
    fs::write(directory.join("memory.current"), "9\n").unwrap();
    for _ in 0..12 {
        let usage = host.tick().unwrap();
        assert_eq!(usage.memory.usage_bytes, Some(9));
        assert_eq!((&usage.devices, &usage.limits), (&before.devices, &before.limits));
        assert_eq!((&usage.pressure, &usage.processes), (&before.pressure, &before.processes));
    }
}

#[test]
fn values_that_only_its_tasks_change_are_read_when_the_container_has_used_cpu_time() {
    let (_root, directory, mut host) = empty_host();
    let write = |file: &str, text: &str| fs::write(directory.join(file), text).unwrap();
    write("cpu.stat", "usage_usec 1\n");
    let pressure =
        |total: u64| write("io.pressure", &format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n"));
    write("pids.current", "1\n");
    pressure(1);
    for _ in 0..6 {
        host.tick().unwrap();
    }
    write("pids.current", "2\n");
    pressure(2);
    let read = |usage: &CgroupUsage| (usage.processes.threads, usage.pressure.io.waiting_us);
    assert_eq!(read(host.tick().unwrap()), (Some(1), Some(1)));
    host.tick().unwrap();
    assert_eq!(
        read(host.tick().unwrap()),
        (Some(1), Some(2)),
        "every third tick, because tasks may be waiting"
    );
    write("cpu.stat", "usage_usec 2\n");
    pressure(3);
    assert_eq!(read(host.tick().unwrap()), (Some(2), Some(3)));
}

proptest::proptest! {
    /// Every file of both versions, with text of its format and with other text.
    #[test]
    fn no_file_panics_and_malformed_text_adds_a_bounded_number_of_entries(
        any in "\\PC{0,200}", number in "(max|-)?[0-9]{0,25} ?[0-9]{0,25}\n?",
        lines in "((usage_usec|nr_periods|total_rss|anon|pgscan|max|some|8:0|259:1|file|N0|rbytes)[ =]?[0-9:a-z=-]{0,25} ?[0-9]{0,25}\n){0,8}",
    ) {
        let v1 = [v1::CPUACCT, v1::CPU, v1::MEMORY, v1::BLKIO, v1::NUMA, huge_pages::V1];
        let v2 = [v2::CPUACCT, v2::CPU, v2::MEMORY, v2::IO, v2::PRESSURE, v2::NUMA, huge_pages::V2];
        let mut usage = CgroupUsage::default();
        for source in v1.iter().chain(&v2).copied().chain([source::PIDS]).flatten() {
            for text in [&any, &number, &lines] {
                (source.parse)(text, &mut usage);
            }
        }
        // At most one entry per device of the last text, per page size, and per node.
        let words = lines.split_ascii_whitespace().count() + any.split_ascii_whitespace().count();
        proptest::prop_assert!(usage.devices.len() <= words + 1 && usage.numa_pages.len() <= words);
        proptest::prop_assert!(usage.huge_pages.len() <= huge_pages::V2.len());
    }
}
