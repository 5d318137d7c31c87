//! A host with containers of every kind that matters to the exposition.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use glassbox::snapshot::{
    ContainerRow, Snapshot,
    agent::{AgentUsage, CollectorStatus, MapStatus, ProgramStatus, RuntimeStatus},
    cgroup::{
        CgroupUsage, CpuUsage, DeviceIo, HugePages, Limits, MemoryUsage, NumaPages, Pressure, Pressures,
        Processes,
    },
    disk::{DiskReading, DiskSource, DiskUsage},
    gpu::{ContainerGpu, Gpm, Gpu, KnownBy, MigInstance, NvmlUsage, RatioHistogram},
    gpu_state::GpuState,
    host::Host,
    identity::{Identity, Runtime},
    lifecycle::{ExitReason, Health, LastExit, Lifecycle, State},
    machine::Machine,
    network::{HostNetworkCounters, InterfaceCounters},
    nvidia_driver::{
        ColdStart, CommandUsage, DriverCounters, DriverInfo, DriverUsage, Failure, FailureCount,
        LayoutSupport,
    },
    oom::OomKills,
    scheduler::{Histogram, SchedulerCounters},
    sockets::{Sockets, TcpSockets, UdpSockets},
};
use glassbox_ebpf::histogram;

/// The moment of the tick.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_790_000_000, 250_000_000)
}

pub(crate) fn identity(container: &str) -> Identity {
    Identity {
        id: container.into(),
        cgroup_path: format!("/docker/{container}"),
        runtime: Runtime::Docker,
        name: container.into(),
        image: "facefusion/facefusion:3.5.0-cuda".into(),
        container: container.into(),
        ..Identity::default()
    }
}

pub(crate) fn row(identity: Identity) -> ContainerRow {
    ContainerRow::new(Arc::new(identity), now())
}

pub(crate) fn snapshot(containers: Vec<ContainerRow>) -> Snapshot {
    Snapshot {
        delivery: Default::default(),
        taken_at: now(),
        containers,
        host: Default::default(),
        agent: AgentUsage::default(),
    }
}

pub(crate) fn host() -> Snapshot {
    let mut containers = vec![docker(), kubernetes(), ended(), short(), hostile(), unknown()];
    // As the tracker does.
    containers.iter_mut().for_each(ContainerRow::settle);
    let machine = Some(Arc::new(machine()));
    Snapshot {
        delivery: Default::default(),
        taken_at: now(),
        containers,
        host: Host {
            gpus: gpus(),
            stray_gpus: vec![stray(), failed()],
            nvidia_driver: Some(DriverInfo {
                release: "610.57.04".into(),
                layouts: LayoutSupport::AssumedNewest,
            }),
            nvml: Some(nvml()),
            disk: Some(DiskReading {
                age: Some(Duration::from_millis(31_500)),
                duration: Some(Duration::from_micros(640)),
                walks_given_up: 0,
            }),
            machine,
            reported_xids: None,
        },
        agent: agent(),
    }
}

/// Everything is known of it.
pub(crate) fn docker() -> ContainerRow {
    let mut identity = identity("facefusion-1");
    identity.id = "8f14e45fceea167a5a36dedd4bea2543".repeat(2);
    identity.cgroup_path = format!("/docker/{}", identity.id);
    identity.name = "studio-facefusion-1".into();
    identity.started_at = Some(UNIX_EPOCH + Duration::from_millis(1_789_990_000_900));
    for (name, value) in [
        ("com.docker.compose.project", "studio"),
        ("com.docker.compose.service", "facefusion"),
        ("com.docker.compose.container-number", "1"),
        ("com.docker.compose.container.number", "collides"),
    ] {
        identity.labels.insert(name.into(), value.into());
    }
    let mut row = row(identity);
    row.cgroup = CgroupUsage {
        cpu: CpuUsage {
            usage_ns: Some(84_600_123_456_789),
            user_ns: Some(80_000_000_000_000),
            system_ns: Some(4_600_120_000_000),
            periods: Some(1200),
            throttled_periods: Some(7),
            throttled_ns: Some(350_000_000),
            burst_periods: Some(4),
            burst_ns: Some(25_000_000),
        },
        memory: MemoryUsage {
            usage_bytes: Some(3 << 30),
            working_set_bytes: Some(2_500_000_000),
            rss_bytes: Some(2_000_000_000),
            cache_bytes: Some(900_000_000),
            mapped_file_bytes: Some(300_000_000),
            swap_bytes: Some(0),
            max_usage_bytes: Some(4 << 30),
            kernel_bytes: Some(52_428_800),
            active_file_bytes: Some(200_000_000),
            inactive_file_bytes: Some(700_000_000),
            failcnt: Some(3),
            page_faults: Some(1_000_001),
            hierarchy_page_faults: Some(1_000_002),
            major_page_faults: Some(11),
            hierarchy_major_page_faults: Some(12),
            high_events: Some(0),
            max_events: Some(17),
            file_dirty_bytes: Some(40_960),
            file_writeback_bytes: Some(0),
            scanned_pages: Some(70_000),
            stolen_pages: Some(65_536),
            file_refaults: Some(1024),
            anonymous_refaults: Some(0),
        },
        devices: vec![
            DeviceIo {
                number: (259, 0),
                name: "/dev/nvme0n1".into(),
                read_bytes: Some(6 << 30),
                written_bytes: Some(123_456_789),
                reads: Some(50_000),
                writes: Some(3000),
                cost_usage_us: Some(7_000_001),
                cost_wait_us: Some(2_500_000),
                cost_indebt_us: Some(0),
                cost_indelay_us: Some(12),
            },
            // Without a cost model, and no more to be found in sysfs.
            DeviceIo { number: (8, 16), name: "8:16".into(), reads: Some(1), ..DeviceIo::default() },
        ],
        pressure: Pressures {
            cpu: Pressure { waiting_us: Some(1_731_480), stalled_us: Some(1_689_022) },
            memory: Pressure { waiting_us: Some(911), stalled_us: Some(905) },
            io: Pressure { waiting_us: Some(21_377), stalled_us: Some(0) },
        },
        processes: Processes { processes: Some(3), threads: Some(61), threads_max: Some(0) },
        huge_pages: vec![HugePages {
            page_size: "2MB",
            usage_bytes: Some(4 << 20),
            max_usage_bytes: Some(8 << 20),
            failcnt: Some(0),
        }],
        numa_pages: vec![
            NumaPages { kind: "anon", scope: "hierarchy", node: 0, pages: 488_281 },
            NumaPages { kind: "anon", scope: "hierarchy", node: 1, pages: 7 },
        ],
        limits: Limits {
            cpu_period_us: Some(100_000),
            cpu_quota_us: Some(400_000),
            cpu_shares: Some(1024),
            memory_limit_bytes: Some(8 << 30),
            memory_reservation_bytes: Some(0),
            memory_swap_limit_bytes: Some(16 << 30),
        },
    };
    row.disk = Some(Box::new(DiskUsage {
        device: "/dev/nvme0n1".into(),
        used_bytes: Some(734_003_200),
        limit_bytes: Some(10 << 30),
        source: DiskSource::ProjectQuota,
    }));
    row.network = vec![interface("eth0", 1), interface("eth1", 100)];
    row.sockets = Some(Arc::new(Sockets {
        tcp: Some(TcpSockets([12, 0, 1, 0, 2, 40, 0, 3, 0, 1, 0])),
        tcp6: Some(TcpSockets::default()),
        udp: Some(UdpSockets { listening: 2, dropped: 7, receive_queue_bytes: 768, transmit_queue_bytes: 0 }),
        udp6: Some(UdpSockets::default()),
    }));
    row.oom = OomKills { this_life: Some(1), earlier_lives: 2, last_at: None };
    row.life = Lifecycle {
        state: Some(State::Paused),
        told: true,
        created_at: Some(UNIX_EPOCH + Duration::from_secs(1_789_990_000)),
        restarts: Some(2),
        last_exit: Some(LastExit {
            at: now() - Duration::from_secs(30),
            code: Some(137),
            reason: Some(ExitReason::OomKilled),
        }),
        health: Some(Health::Unhealthy),
    };
    row.scheduler = Some(Box::new(scheduler()));
    row.nvidia_driver = Some(Box::new(nvidia_driver()));
    row.gpu_state = Some(GpuState::Loading);
    row.gpus = vec![share()];
    row
}

fn share() -> ContainerGpu {
    ContainerGpu {
        index: 0,
        uuid: UUID.into(),
        processes: Some(2),
        utilization_ratio: Some(0.61),
        memory_utilization_ratio: Some(0.3),
        encoder_ratio: Some(0.0),
        decoder_ratio: Some(0.05),
        memory_used_bytes: Some(6 << 30),
        memory_used_ratio: Some(0.075),
        busy: Duration::from_millis(90_500),
        energy_joules: Some(20_815.5),
    }
}

const UUID: &str = "GPU-5e0d1a32-7c1f-4a87-8a55-0f4f5a5c9d10";

/// One GPU of which everything is known, and one that has fallen off the bus.
fn gpus() -> Vec<Gpu> {
    let mut histogram = RatioHistogram::default();
    for percent in [0, 5, 6, 50, 100, 100] {
        histogram.add_percent(percent);
    }
    let whole = Gpu {
        known_by: KnownBy::Nvml,
        index: 0,
        uuid: UUID.into(),
        name: "NVIDIA H100 \"PCIe\"\n".into(),
        pci_bus_id: "00000000:01:00.0".into(),
        minor: Some(0),
        up: true,
        mig_enabled: Some(true),
        mig_instances: vec![MigInstance {
            index: 0,
            uuid: "MIG-1".into(),
            memory_total_bytes: Some(10 << 30),
            memory_used_bytes: Some(1 << 30),
        }],
        utilization_ratio: Some(0.61),
        memory_utilization_ratio: Some(0.29),
        utilization_samples: Some(histogram),
        utilization_max_ratio: Some(1.0),
        encoder_ratio: Some(0.0),
        decoder_ratio: Some(0.05),
        memory_total_bytes: Some(80 << 30),
        memory_used_bytes: Some(8 << 30),
        memory_used_max_bytes: Some(9 << 30),
        memory_free_bytes: Some(71 << 30),
        memory_reserved_bytes: Some(1 << 30),
        power_watts: Some(230.125),
        power_max_watts: Some(349.9),
        power_limit_watts: Some(350.0),
        energy_mj: Some(9_876_543_210),
        temperature_celsius: Some(58.0),
        memory_temperature_celsius: Some(64.0),
        clocks_hertz: vec![("sm", 1.755e9), ("memory", 1.593e9)],
        throttle_reasons: vec![("idle", false), ("software_power_cap", true)],
        throttled: vec![("power", Duration::from_millis(12_345))],
        ecc_errors: vec![("corrected", 3), ("uncorrected", 0)],
        remapped_rows: vec![("correctable", 1), ("uncorrectable", 2)],
        row_remap_pending: Some(false),
        row_remap_failed: Some(false),
        pcie_replays: Some(4),
        pcie_bytes: vec![("transmit", 1_000_000), ("receive", 2_000_000)],
        nvlink_bytes: vec![("transmit", 2048), ("receive", 4096)],
        nvlink_errors: vec![("replay", 1)],
        gpm: Gpm {
            ratios: vec![("graphics", 0.61), ("tensor", 0.12), ("dram", 0.25)],
            pcie_transmit_bytes_per_second: Some(1_048_576.0),
            pcie_receive_bytes_per_second: Some(2_097_152.0),
        },
        xid_watched: true,
        xids: vec![(31, 2)],
        last_xid: Some(31),
        processes: vec![("container", 2), ("host", 0), ("unknown", 1)],
    };
    let lost =
        Gpu { index: 1, uuid: "GPU-1".into(), xids: vec![(79, 1)], last_xid: Some(79), ..Gpu::default() };
    vec![whole, lost]
}

/// Only its Xid errors are known.
fn stray() -> Gpu {
    Gpu {
        pci_bus_id: "0000:0f:00.0".into(),
        known_by: KnownBy::Xid,
        xids: vec![(79, 3)],
        last_xid: Some(79),
        ..Gpu::default()
    }
}

/// The driver lists it, NVML does not.
fn failed() -> Gpu {
    Gpu { pci_bus_id: "0001:00:01.0".into(), known_by: KnownBy::Driver, ..Gpu::default() }
}

fn machine() -> Machine {
    Machine {
        machine_id: "d41d8cd98f00b204e9800998ecf8427e".into(),
        // The firmware gives none.
        system_uuid: String::new(),
        boot_id: "5a8f2b7e-3c1d-4f60-9b2a-7e6d5c4b3a29".into(),
        kernel: "6.1.0-50-amd64".into(),
        os: "Debian GNU/Linux 12 (bookworm)".into(),
        logical_cpus: Some(64),
        cores: Some(32),
        sockets: Some(1),
        memory_bytes: Some(512 << 30),
        swap_bytes: Some(0),
    }
}

fn nvml() -> NvmlUsage {
    NvmlUsage {
        up: true,
        driver_version: "580.159.04".into(),
        hostname: "studio".into(),
        reading_age: Some(Duration::from_millis(420)),
        reading_duration: Some(Duration::from_micros(8_100)),
        failures: vec![("nvmlDeviceGetMigMode", "not_supported", 2)],
        rejected: vec![("temperature", 3)],
    }
}

fn interface(name: &str, scale: u64) -> InterfaceCounters {
    InterfaceCounters {
        interface: name.into(),
        receive_bytes: 1_000 * scale,
        receive_packets: 20 * scale,
        receive_dropped: 3,
        receive_errors: 4,
        transmit_bytes: 5_000 * scale,
        transmit_packets: 60 * scale,
        transmit_dropped: 7,
        transmit_errors: 8,
    }
}

/// Waits in the first slot, at the border of a `le`, right above it, beyond the last `le`, and in the last
/// slot.
fn nvidia_driver() -> DriverUsage {
    let mut durations = Histogram { sum_ns: 81_000_000, ..Histogram::default() };
    durations.buckets[30] = 69;
    let mut wait = Histogram { sum_ns: 50_000_000, ..Histogram::default() };
    wait.buckets[histogram::bucket(50_000_000)] = 1;
    let failure =
        |reason, count| FailureCount { device: "ctl", command: "rm_vid_heap_control".into(), reason, count };
    DriverUsage {
        per_command_histograms: false,
        commands: vec![CommandUsage { device: "ctl", command: "rm_vid_heap_control".into(), durations }],
        failures: vec![
            failure(Failure::Status("no_memory".into()), 2),
            failure(Failure::Errno("EINVAL".into()), 1),
            failure(Failure::Warning("nothing_to_do".into()), 3),
        ],
        polls: vec![("gpu", wait)],
        counters: DriverCounters {
            allocations: 69,
            allocated_bytes: 6_442_450_944,
            freed_bytes: 1_073_741_824,
            failed_no_memory: 2,
            failed_insufficient_resources: 0,
            recovered: 1,
            failed_host_memory: 0,
            pinned_bytes: 4096,
            contexts: 1,
            channels: 37,
            events: 13,
            undecoded: 1,
            unreadable: 0,
        },
        in_flight: 1,
        waiting: Some(Duration::from_millis(1500)),
        cold_start: Some(ColdStart {
            process: "python3".into(),
            driver_opened: Duration::from_millis(410),
            context_ready: Duration::from_millis(890),
            last_large_allocation: Some(Duration::from_secs(7)),
        }),
    }
}

fn scheduler() -> SchedulerCounters {
    let mut waits = Histogram { sum_ns: 2_412_000_000_001, ..Histogram::default() };
    waits.buckets[0] = 1000;
    waits.buckets[40] = 20;
    waits.buckets[41] = 3;
    waits.buckets[histogram::bucket(100_000_000_000)] = 2;
    waits.buckets[histogram::OVERFLOW] = 1;
    SchedulerCounters {
        oncpu_ns: 84_599_000_000_001,
        voluntary_switches: 123_456_789,
        involuntary_switches: 42,
        waits,
    }
}

fn kubernetes() -> ContainerRow {
    let mut identity = identity("worker");
    identity.id = "c4ca4238a0b923820dcc509a6f75849b".repeat(2);
    let pod = "kubepods-burstable-pod5f7d1a3e_0c8f_4c1c_9d0a_2b6f3f0f9a10.slice";
    identity.cgroup_path =
        format!("/kubepods.slice/kubepods-burstable.slice/{pod}/cri-containerd-{}.scope", identity.id);
    identity.runtime = Runtime::Containerd;
    identity.namespace = Some("media".into());
    identity.pod = Some("facefusion-7d9c6b5f4-x2x5z".into());
    identity.started_at = Some(UNIX_EPOCH + Duration::from_secs(1_789_999_000));
    let mut row = row(identity);
    row.cgroup.cpu.usage_ns = Some(1_500_000_000);
    row.cgroup.memory.working_set_bytes = Some(u64::MAX);
    row.disk = Some(Box::new(DiskUsage {
        device: "".into(),
        used_bytes: Some(24_576),
        limit_bytes: None,
        source: DiskSource::Runtime,
    }));
    row
}

/// Its successor bears the name.
fn ended() -> ContainerRow {
    let mut identity = identity("facefusion-1");
    identity.id = "0f".repeat(32);
    identity.cgroup_path = format!("/docker/{}", identity.id);
    let mut row = row(identity);
    row.ended_at = Some(now() - Duration::from_secs(60));
    row.last_seen = now() - Duration::from_secs(61);
    row.owns_name = false;
    row.cgroup.cpu.usage_ns = Some(9_000_000_000);
    // What it held when it was last read, and must not seem to hold still.
    row.cgroup.memory.usage_bytes = Some(666);
    row.scheduler = Some(Box::new(SchedulerCounters { oncpu_ns: 9_050_000_000, ..scheduler() }));
    row
}

/// It was over before its cgroup could be read.
fn short() -> ContainerRow {
    let mut row = row(identity("flash"));
    row.ended_at = Some(now());
    row.oom.this_life = Some(1);
    row.host_network = Some(HostNetworkCounters {
        receive_bytes: 1_500_000,
        receive_packets: 40,
        transmit_bytes: 2_600,
        transmit_packets: 50,
    });
    row.life = Lifecycle {
        state: Some(State::Exited),
        restarts: Some(0),
        last_exit: Some(LastExit { at: now(), code: Some(143), reason: Some(ExitReason::Signal("SIGTERM")) }),
        health: Some(Health::Unchecked),
        ..Lifecycle::default()
    };
    row.scheduler = Some(Box::new(SchedulerCounters { oncpu_ns: 48_700_001, ..scheduler() }));
    row
}

fn hostile() -> ContainerRow {
    let mut identity = identity("\"} 1\nfake_metric{a=\"b\\");
    identity.cgroup_path = "/docker/\\\"\n\r\t\u{1}\u{7f}".into();
    identity.image = "日本語/größe:🦀\u{202e}\u{0}".into();
    identity.name = "\\n".into();
    identity.pod = Some(String::new());
    identity.labels.insert("evil\"} 1\n".into(), "\n# TYPE x counter\n".into());
    identity.labels.insert(String::new(), String::new());
    let mut row = row(identity);
    row.cgroup.cpu.usage_ns = Some(1);
    row.network = vec![interface("eth\"0\n", 1)];
    row
}

/// Only that it exists is known.
fn unknown() -> ContainerRow {
    let mut identity = identity("3a7bd3e2360a");
    identity.runtime = Runtime::Unknown;
    identity.name = String::new();
    identity.image = String::new();
    row(identity)
}

fn agent() -> AgentUsage {
    let program = |name, attached, runs| ProgramStatus {
        name,
        collector: "scheduler",
        hook: "tp_btf",
        attached,
        runs,
        run_time: Duration::from_nanos(69_000),
    };
    AgentUsage {
        hostname: "gpu-node-7".into(),
        demo: true,
        collectors: vec![
            CollectorStatus { name: "cgroup", up: true, duration: Duration::from_micros(1234), errors: 0 },
            CollectorStatus { name: "network", up: false, duration: Duration::ZERO, errors: 17 },
        ],
        programs: vec![
            program("scheduler_sched_switch", true, Some(1000)),
            program("scheduler_fallback_switch", false, None),
        ],
        lost: vec![("cgroup_slots", 0), ("scheduler_waits", 12)],
        maps: vec![
            MapStatus { name: "CGROUPS_BORN", entries: Some(6), capacity: 1024, memory_bytes: 16_384 },
            MapStatus { name: "SCHEDULER", entries: None, capacity: 257, memory_bytes: 532_480 },
        ],
        runtimes: vec![RuntimeStatus { runtime: "docker", connected: true }],
        ticks: 3600,
        ticks_skipped: 1,
        tick_duration: Duration::from_micros(2_345),
        containers_running: 4,
        containers_discovered: 9,
        containers_ended: 6,
    }
}
