//! Counters continue across runs; gauges do not.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;

use super::*;
use crate::snapshot::{
    facefusion::{FaceFusionCounters, Phase},
    identity::Identity,
    jobs::{FUNCTIONS_MAX, FunctionJobs, InFlight, OTHER_FUNCTIONS},
    nvidia_driver::Failure,
    requests::{RequestMeasures, RequestUsage, ResponseCount},
    uploads::Uploads,
};

fn row() -> ContainerRow {
    let identity =
        Identity { id: "1".into(), cgroup_path: "/1".into(), container: "1".into(), ..Identity::default() };
    ContainerRow::new(Arc::new(identity), SystemTime::now())
}

fn histogram(sum_ns: u64) -> Histogram {
    let mut histogram = Histogram { sum_ns, ..Histogram::default() };
    histogram.buckets[3] = 1;
    histogram
}

fn scheduler(oncpu_ns: u64) -> Box<SchedulerCounters> {
    let waits = histogram(oncpu_ns);
    Box::new(SchedulerCounters { oncpu_ns, voluntary_switches: 1, involuntary_switches: 2, waits })
}

fn jobs(function: &str, by: u64) -> Jobs {
    let counters = JobCounters {
        started: by,
        ended: [by, 1, 2, 3],
        queue_waits: histogram(by),
        runs: histogram(by),
        durations: histogram(by),
        first_progress: histogram(by),
    };
    Jobs {
        functions: vec![FunctionJobs { name: function.into(), counters }],
        in_flight: InFlight { running: by, ..InFlight::default() },
        awaited: by,
        queue_size: Some(by),
        ignored: IgnoredEvents { ended_job: by, evicted: 1, ..IgnoredEvents::default() },
    }
}

/// A row in which every counter and gauge is `by`.
fn busy(by: u64) -> ContainerRow {
    let mut row = row();
    row.cgroup.cpu = CpuUsage { usage_ns: Some(by), throttled_periods: Some(by), ..CpuUsage::default() };
    row.cgroup.memory = MemoryUsage {
        usage_bytes: Some(by),
        max_usage_bytes: Some(by),
        failcnt: Some(by),
        ..MemoryUsage::default()
    };
    row.cgroup.devices = vec![DeviceIo { number: (8, 0), read_bytes: Some(by), ..DeviceIo::default() }];
    row.cgroup.pressure.io.waiting_us = Some(by);
    row.cgroup.processes.threads = Some(by);
    row.cgroup.limits.memory_limit_bytes = Some(by);
    row.cgroup.huge_pages = vec![HugePages {
        page_size: "2MB",
        usage_bytes: Some(by),
        failcnt: Some(by),
        ..HugePages::default()
    }];
    row.scheduler = Some(scheduler(by));
    row.host_network = Some(HostNetworkCounters { receive_bytes: by, ..HostNetworkCounters::default() });
    row.sockets = Some(Box::new(SocketUsage {
        traffic: SocketCounters { receive_bytes: [by; 3], ..SocketCounters::default() },
        connections: ConnectionCounters { accepted: by, ..ConnectionCounters::default() },
        unix: Some(UnixCounters { receive_bytes: by, transmit_bytes: by }),
        open: Some(by),
        listening_ports: vec![80],
        ..SocketUsage::default()
    }));
    row.requests = Some(Box::new(RequestUsage {
        responses: vec![ResponseCount { method: "GET", code_class: "2xx", route: "other".into(), count: by }],
        retries: vec![RetryCount { route: "other".into(), count: by }],
        measures: RequestMeasures { request_bytes: by, ..RequestMeasures::default() },
        in_flight: by,
        unanswered: by,
        streams: by,
        uploads: Some(Uploads { others: by, unknown: [by; 5], ..Uploads::default() }),
        ..RequestUsage::default()
    }));
    row.jobs = Some(Box::new(jobs("0", by)));
    row.facefusion = Some(Box::new(FaceFusion {
        counters: FaceFusionCounters {
            completed: by,
            phases_ns: [by; Phase::ALL.len()],
            ..FaceFusionCounters::default()
        },
        running: by,
        ..FaceFusion::default()
    }));
    row.oom.this_run = Some(by);
    row.programs = vec![ProgramUsage {
        name: "ffmpeg".into(),
        running: by,
        counters: ProgramCounters { started: by, ..ProgramCounters::default() },
    }];
    let command = CommandUsage { device: "ctl", command: "rm_free".into(), durations: histogram(by) };
    let reason = Failure::Errno("EINVAL".into());
    let failure = FailureCount { device: "ctl", command: "rm_free".into(), reason, count: by };
    row.nvidia_driver = Some(Box::new(DriverUsage {
        commands: vec![command],
        failures: vec![failure],
        polls: vec![("gpu", histogram(by))],
        counters: DriverCounters { allocations: by, ..DriverCounters::default() },
        in_flight: by,
        waiting: Some(Duration::from_secs(by)),
        cold_start: None,
        refused_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(by)),
        earlier_refused_at: None,
        per_command_histograms: false,
    }));
    row.gpus = vec![ContainerGpu {
        index: 1,
        processes: Some(by),
        memory_used_bytes: Some(by),
        busy: Duration::from_secs(by),
        energy_joules: Some(2.0),
        ..ContainerGpu::default()
    }];
    row
}

#[test]
fn counters_of_two_runs_are_added_and_gauges_come_from_the_second_run() {
    let mut row = busy(5);
    Totals::of(&busy(100)).add_to(&mut row);
    let CgroupUsage { cpu, memory, devices, pressure, processes, huge_pages, limits, .. } = &row.cgroup;
    assert_eq!((cpu.usage_ns, cpu.throttled_periods, cpu.user_ns), (Some(105), Some(105), None));
    assert_eq!((memory.failcnt, memory.usage_bytes, memory.max_usage_bytes), (Some(105), Some(5), Some(5)));
    assert_eq!((devices.len(), devices[0].read_bytes), (1, Some(105)));
    assert_eq!((pressure.io.waiting_us, processes.threads), (Some(105), Some(5)));
    assert_eq!((huge_pages[0].failcnt, huge_pages[0].usage_bytes), (Some(105), Some(5)));
    assert_eq!(limits.memory_limit_bytes, Some(5));
    let scheduler = row.scheduler.as_ref().unwrap();
    assert_eq!((scheduler.oncpu_ns, scheduler.voluntary_switches), (105, 2));
    assert_eq!((scheduler.waits.sum_ns, scheduler.waits.buckets[3]), (105, 2));
    assert_eq!(row.host_network.unwrap().receive_bytes, 105);
    let sockets = row.sockets.as_ref().unwrap();
    assert_eq!((sockets.traffic.receive_bytes, sockets.connections.accepted), ([105; 3], 105));
    assert_eq!((sockets.unix.unwrap().receive_bytes, sockets.open), (105, Some(5)));
    let requests = row.requests.as_ref().unwrap();
    assert_eq!((requests.responses.len(), requests.responses[0].count), (1, 105));
    assert_eq!((requests.retries.len(), requests.retries[0].count), (1, 105));
    assert_eq!(requests.uploads.map(|uploads| (uploads.others, uploads.unknown)), Some((105, [105; 5])));
    assert_eq!((requests.measures.request_bytes, requests.in_flight, requests.streams), (105, 5, 5));
    assert_eq!((requests.unanswered, row.jobs.as_ref().unwrap().awaited), (5, 5));
    let jobs = row.jobs.as_ref().unwrap();
    let counters = &jobs.functions[0].counters;
    assert_eq!((jobs.functions.len(), counters.started, counters.ended), (1, 105, [105, 2, 4, 6]));
    assert_eq!((counters.queue_waits.sum_ns, counters.runs.sum_ns), (105, 105));
    assert_eq!((counters.durations.sum_ns, counters.first_progress.sum_ns), (105, 105));
    assert_eq!((jobs.in_flight.running, jobs.queue_size), (5, Some(5)));
    assert_eq!((jobs.ignored.ended_job, jobs.ignored.evicted), (105, 2));
    let facefusion = row.facefusion.as_ref().unwrap();
    assert_eq!(
        (facefusion.counters.completed, facefusion.counters.phases_ns[3], facefusion.running),
        (105, 105, 5)
    );
    assert_eq!(row.oom.total(), Some(105));
    let [program] = &row.programs[..] else { panic!("{:?}", row.programs) };
    assert_eq!((program.counters.started, program.running), (105, 5));
    let driver = row.nvidia_driver.as_ref().unwrap();
    assert_eq!((driver.commands.len(), driver.commands[0].durations.sum_ns), (1, 105));
    assert_eq!((driver.failures.len(), driver.failures[0].count), (1, 105));
    assert_eq!((driver.polls.len(), driver.polls[0].1.sum_ns), (1, 105));
    assert_eq!((driver.counters.allocations, driver.in_flight), (105, 5));
    assert_eq!(driver.waiting, Some(Duration::from_secs(5)));
    let refused = |second| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
    assert_eq!((driver.refused_at, driver.earlier_refused_at), (refused(5), refused(100)));
    let gpu = &row.gpus[0];
    assert_eq!((gpu.busy, gpu.energy_joules), (Duration::from_secs(105), Some(4.0)));
    assert_eq!((gpu.processes, gpu.memory_used_bytes), (Some(5), Some(5)));
}

#[test]
fn a_run_without_counters_yet_shows_the_counters_of_earlier_runs() {
    let mut row = row();
    Totals::of(&busy(100)).add_to(&mut row);
    assert_eq!((row.cgroup.cpu.usage_ns, row.cgroup.memory.usage_bytes), (Some(100), None));
    assert_eq!(row.scheduler.unwrap().oncpu_ns, 100);
    let driver = row.nvidia_driver.unwrap();
    assert_eq!((driver.counters.allocations, driver.in_flight, driver.waiting), (100, 0, None));
    assert_eq!((driver.refused_at, driver.earlier_refused_at.is_some()), (None, true));
    assert_eq!((row.gpus[0].busy, row.gpus[0].processes), (Duration::from_secs(100), None));
    assert_eq!(row.oom.total(), Some(100));
    assert_eq!(row.cgroup.limits.memory_limit_bytes, None);
}

#[test]
fn functions_of_many_runs_are_limited() {
    let mut all = Jobs::default();
    for run in 0..100 {
        all.accumulate(&jobs(&run.to_string(), 1));
    }
    assert_eq!(all.functions.len(), FUNCTIONS_MAX + 1);
    assert_eq!(
        all.functions.last().map(|last| (&*last.name, last.counters.started)),
        Some((OTHER_FUNCTIONS, 68))
    );
    assert_eq!(all.functions.iter().map(|function| function.counters.started).sum::<u64>(), 100);
}

#[test]
fn a_successor_with_another_id_takes_over_all_counters_except_those_exported_under_the_id() {
    let mut row = row();
    Totals::of(&busy(100)).of_successor().add_to(&mut row);
    assert_eq!((row.cgroup.cpu.usage_ns, row.cgroup.devices.len()), (None, 0));
    assert_eq!(row.scheduler.unwrap().oncpu_ns, 100);
    assert_eq!(row.oom.total(), Some(100));
}

#[test]
fn the_cpu_time_of_a_run_too_short_for_its_cgroup_files_comes_from_the_kernel_program() {
    let settled = |ended: bool, read_ns, oncpu_ns: Option<u64>| {
        let mut row = row();
        row.ended_at = ended.then(SystemTime::now);
        row.cgroup.cpu.usage_ns = read_ns;
        row.scheduler = oncpu_ns.map(scheduler);
        row.settle();
        row.cgroup.cpu.usage_ns
    };
    // While the container runs, its cgroup files are more exact.
    assert_eq!(settled(false, Some(5), Some(7)), Some(5));
    assert_eq!(settled(false, Some(5), None), Some(5));
    assert_eq!(settled(false, None, Some(7)), Some(7));
    assert_eq!(settled(true, None, Some(7)), Some(7));
    assert_eq!(settled(true, None, None), None);
    assert_eq!(settled(true, Some(5), Some(7)), Some(7));
    assert_eq!(settled(true, Some(9), Some(7)), Some(9));
    assert_eq!(settled(true, Some(9), None), Some(9));
}

proptest! {
    #[test]
    fn a_counter_is_the_sum_of_all_runs_in_any_grouping(runs in prop::collection::vec(0..1_000_u64, 1..8)) {
        let mut earlier: Option<Totals> = None;
        for by in &runs {
            let mut row = busy(*by);
            if let Some(earlier) = &earlier {
                earlier.add_to(&mut row);
            }
            earlier = Some(Totals::of(&row));
        }
        let grouped = runs.iter().map(|by| Totals::of(&busy(*by)));
        let grouped = grouped.reduce(|sum, run| run.with(Some(&sum))).unwrap();
        prop_assert_eq!(earlier.clone().unwrap(), grouped);
        prop_assert_eq!(earlier.unwrap().scheduler.unwrap().oncpu_ns, runs.iter().sum::<u64>());
    }
}
