use std::{sync::Arc, time::SystemTime};

use super::{trend::FLOORS_MAX, *};
use crate::snapshot::{
    Delivery,
    agent::AgentUsage,
    gpu::{ContainerGpu, Gpu},
    identity::Identity,
    jobs::{FunctionJobs, InFlight, JobCounters},
    nvidia_driver::{DriverCounters, DriverUsage},
    requests::{RequestUsage, duration},
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);

/// Containers, which are read once per second.
struct Watched {
    derivation: MemoryLeaks,
    snapshot: Snapshot,
    now: Instant,
}

impl Watched {
    fn new(rows: Vec<ContainerRow>) -> Self {
        let snapshot = Snapshot {
            delivery: Delivery::default(),
            taken_at: SystemTime::UNIX_EPOCH,
            containers: rows,
            host: Host {
                gpus: vec![Gpu { uuid: "a".into(), memory_free_bytes: Some(8 * GIB), ..Gpu::default() }],
                ..Host::default()
            },
            agent: AgentUsage::default(),
        };
        Self { derivation: MemoryLeaks::default(), snapshot, now: Instant::now() }
    }

    /// A server of requests and Gradio jobs with one GPU and a memory limit.
    fn serving() -> Self {
        let mut row = row(1);
        row.requests = Some(Box::default());
        row.jobs = Some(Box::default());
        let jobs = row.jobs.as_mut().unwrap();
        jobs.functions.push(FunctionJobs { name: "run".into(), counters: JobCounters::default() });
        row.cgroup.limits.memory_limit_bytes = Some(16 * GIB);
        let mut watched = Self::new(vec![row]);
        watched.hold(GIB, GIB);
        watched
    }

    /// A container with a GPU of which no work is counted.
    fn uncounted() -> Self {
        let mut watched = Self::new(vec![row(1)]);
        watched.hold(GIB, GIB);
        watched
    }

    fn row(&mut self) -> &mut ContainerRow {
        &mut self.snapshot.containers[0]
    }

    fn hold(&mut self, gpu_bytes: u64, host_bytes: u64) {
        let row = self.row();
        row.gpus[0].memory_used_bytes = Some(gpu_bytes);
        row.cgroup.memory.rss_bytes = Some(host_bytes);
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now += SECOND;
            for row in &mut self.snapshot.containers {
                row.memory_floors.clear();
            }
            let now = Moment { wall: SystemTime::UNIX_EPOCH, monotonic: self.now };
            self.derivation.derive(&mut self.snapshot, Recent::default(), now);
        }
    }

    /// A Gradio job of 3 s that uses another GiB of each memory.
    fn job(&mut self) {
        let (gpu_bytes, host_bytes) = self.held();
        self.in_flight(InFlight { running: 1, ..InFlight::default() });
        self.hold(gpu_bytes + GIB, host_bytes + GIB);
        self.run(3);
        self.in_flight(InFlight::default());
        self.ended(3 * SECOND);
        self.hold(gpu_bytes, host_bytes);
    }

    fn held(&mut self) -> (u64, u64) {
        let row = self.row();
        (row.gpus[0].memory_used_bytes.unwrap(), row.cgroup.memory.rss_bytes.unwrap())
    }

    fn in_flight(&mut self, in_flight: InFlight) {
        self.row().jobs.as_mut().unwrap().in_flight = in_flight;
    }

    fn ended(&mut self, duration: Duration) {
        let jobs = self.row().jobs.as_mut().unwrap();
        count(&mut jobs.functions[0].counters.durations, duration);
    }

    fn floor(&mut self, memory: Memory) -> Option<MemoryFloor> {
        self.row().memory_floors.iter().find(|floor| floor.memory == memory).copied()
    }

    fn suspected(&mut self) -> [Option<bool>; 3] {
        Memory::ALL.map(|memory| self.floor(memory).and_then(|floor| floor.is_suspected))
    }
}

fn row(key: u64) -> ContainerRow {
    let mut row = ContainerRow::new(Arc::new(Identity::default()), SystemTime::UNIX_EPOCH);
    row.key = key;
    row.gpus = vec![ContainerGpu { uuid: "a".into(), ..ContainerGpu::default() }];
    row
}

fn count(histogram: &mut crate::snapshot::scheduler::Histogram, duration: Duration) {
    let bucket = glassbox_ebpf::histogram::bucket(u64::try_from(duration.as_nanos()).unwrap());
    histogram.buckets[bucket] += 1;
}

#[test]
fn memory_that_grows_with_each_job_is_a_suspected_leak_after_nine_jobs() {
    let mut watched = Watched::serving();
    for job in 1..=9 {
        watched.job();
        watched.hold(GIB + job * 512 * MIB, GIB + job * 100 * MIB);
        watched.run(10);
        assert_eq!(watched.suspected(), [None; 3], "job {job}");
    }
    // The floor counts after a minute, or when the next job begins.
    watched.run(60);
    assert_eq!(watched.suspected(), [Some(true), Some(true), None]);
    let (gpu, host) = (watched.floor(Memory::Gpu).unwrap(), watched.floor(Memory::Host).unwrap());
    assert_eq!((gpu.floor_bytes, host.floor_bytes), (GIB + 9 * 512 * MIB, GIB + 900 * MIB));
    let (gpu_trend, host_trend) = (gpu.trend.unwrap(), host.trend.unwrap());
    assert_eq!((gpu_trend.bytes_per_job, host_trend.bytes_per_job), ((512 * MIB) as f64, (100 * MIB) as f64));
    // 277 jobs per hour, of 13 s each.
    let per_hour = (512 * MIB) as f64 * 3600.0 / 13.0;
    assert!((gpu_trend.bytes_per_hour / per_hour - 1.0).abs() < 1e-9, "{gpu_trend:?}");
    // 8 GiB are 16 steps.
    assert_eq!(gpu.full_in.unwrap().as_secs(), 208);
    let left_steps = (15 * GIB - 900 * MIB) as f64 / (100 * MIB) as f64;
    assert!((host.full_in.unwrap().as_secs_f64() - left_steps * 13.0).abs() < 0.01);
}

#[test]
fn without_a_limit_there_is_no_time_until_it_is_full() {
    let mut watched = Watched::serving();
    watched.row().cgroup.limits.memory_limit_bytes = Some(0);
    watched.snapshot.host.gpus[0].mig_enabled = Some(true);
    for job in 1..=11 {
        watched.job();
        watched.hold(GIB + job * 512 * MIB, GIB + job * 100 * MIB);
        watched.run(10);
    }
    assert_eq!(watched.suspected()[..2], [Some(true), Some(true)]);
    let full = [Memory::Gpu, Memory::Host].map(|memory| watched.floor(memory).unwrap().full_in);
    assert_eq!(full, [None, None]);
}

#[test]
fn warm_up_of_two_jobs_and_memory_that_comes_back_are_no_leak() {
    let mut watched = Watched::serving();
    for job in 1..=40 {
        watched.job();
        // The models are loaded by the first two jobs. Host memory is collected at every third job.
        let loaded = GIB + job.min(2) * 3 * GIB;
        watched.hold(loaded, GIB + job % 3 * GIB);
        watched.run(10);
        assert!(!watched.suspected().contains(&Some(true)), "job {job}: {:?}", watched.row().memory_floors);
    }
    assert_eq!(watched.suspected(), [Some(false), Some(false), None]);
    assert_eq!(watched.floor(Memory::Gpu).unwrap().trend.unwrap().bytes_per_job, 0.0);
}

#[test]
fn the_floor_is_the_least_memory_since_the_last_job() {
    let mut watched = Watched::serving();
    watched.run(60);
    assert_eq!(watched.row().memory_floors, [], "no job yet");
    watched.job();
    watched.hold(3 * GIB, 2 * GIB);
    watched.run(4);
    assert_eq!(watched.row().memory_floors, [], "memory may be freed late");
    watched.run(1);
    let floors = |watched: &mut Watched| {
        let floors = &watched.row().memory_floors;
        floors.iter().map(|floor| (floor.memory, floor.floor_bytes)).collect::<Vec<_>>()
    };
    assert_eq!(floors(&mut watched), [(Memory::Gpu, 3 * GIB), (Memory::Host, 2 * GIB)]);
    watched.hold(2 * GIB, GIB);
    watched.run(1);
    watched.hold(4 * GIB, 4 * GIB);
    watched.run(100);
    let least = [(Memory::Gpu, 2 * GIB), (Memory::Host, GIB)];
    assert_eq!(floors(&mut watched), least);
    watched.job();
    watched.run(1);
    assert_eq!(floors(&mut watched), least, "while busy");
}

#[test]
fn an_idle_container_has_no_floors_whatever_its_memory_does() {
    let (mut counted, mut uncounted) = (Watched::serving(), Watched::uncounted());
    for hour in 0..50 {
        for watched in [&mut counted, &mut uncounted] {
            watched.hold(GIB + hour * GIB, GIB + hour * GIB);
            watched.run(60);
            assert_eq!(watched.row().memory_floors, []);
        }
    }
}

#[test]
fn polls_of_a_page_are_no_jobs() {
    let mut watched = Watched::serving();
    watched.row().cgroup.cpu.usage_ns = Some(0);
    for second in 0..3000 {
        // A poll of 20 ms twice per second is seen now and then, and the page uses a third of a CPU.
        let polls = u64::from(second % 7 == 0);
        watched.in_flight(InFlight { running: polls, ..InFlight::default() });
        watched.ended(Duration::from_millis(20));
        *watched.row().cgroup.cpu.usage_ns.as_mut().unwrap() += 330_000_000;
        watched.hold(GIB, GIB + second * MIB);
        watched.run(1);
        assert_eq!(watched.row().memory_floors, []);
    }
    watched.in_flight(InFlight::default());
    watched.job();
    watched.run(6);
    assert!(watched.floor(Memory::Host).is_some());
}

#[test]
fn without_counted_work_use_of_a_gpu_or_of_cpus_is_a_job() {
    let work: [fn(&mut ContainerRow); 2] = [
        |row| row.gpus[0].utilization_ratio = Some(0.05),
        |row| row.cgroup.cpu.usage_ns = Some(row.cgroup.cpu.usage_ns.unwrap() + 500_000_000),
    ];
    for (case, work) in work.into_iter().enumerate() {
        let mut watched = Watched::uncounted();
        watched.row().cgroup.cpu.usage_ns = Some(0);
        watched.run(1);
        for job in 1..=11 {
            for _ in 0..3 {
                work(watched.row());
                watched.run(1);
            }
            watched.row().gpus[0].utilization_ratio = Some(0.04);
            watched.hold(GIB + job * GIB, GIB);
            watched.run(10);
        }
        assert_eq!(watched.suspected(), [Some(true), Some(false), None], "case {case}");
    }
}

#[test]
fn a_container_without_counted_work_that_uses_no_gpu_is_ignored() {
    let mut watched = Watched::uncounted();
    watched.row().gpus.clear();
    watched.row().cgroup.cpu.usage_ns = Some(0);
    for second in 0..100 {
        if second % 20 < 10 {
            *watched.row().cgroup.cpu.usage_ns.as_mut().unwrap() += 4_000_000_000;
        }
        watched.run(1);
    }
    assert_eq!(watched.row().memory_floors, []);
    assert!(watched.derivation.histories.is_empty());
}

#[test]
fn jobs_of_facefusion_are_jobs_and_those_of_its_page_count_once() {
    for is_page in [false, true] {
        let mut watched = if is_page { Watched::serving() } else { Watched::uncounted() };
        if !is_page {
            watched.row().gpus.clear();
        }
        watched.row().facefusion = Some(Box::default());
        for job in 1..=9 {
            watched.row().facefusion.as_mut().unwrap().running = 1;
            if is_page {
                watched.in_flight(InFlight { running: 1, ..InFlight::default() });
            }
            watched.run(3);
            watched.row().facefusion.as_mut().unwrap().running = 0;
            count(&mut watched.row().facefusion.as_mut().unwrap().counters.durations, 3 * SECOND);
            if is_page {
                watched.in_flight(InFlight::default());
                watched.ended(3 * SECOND);
            }
            watched.row().cgroup.memory.rss_bytes = Some(GIB + job * 50 * MIB);
            watched.run(70);
        }
        let floor = watched.floor(Memory::Host).unwrap();
        assert_eq!(floor.is_suspected, Some(true), "{is_page}");
        let per_job = floor.trend.unwrap().bytes_per_job;
        assert!((per_job / (50 * MIB) as f64 - 1.0).abs() < 0.01, "{is_page}: {per_job}");
    }
}

#[test]
fn jobs_of_facefusion_count_after_more_requests_of_the_page() {
    let mut watched = Watched::serving();
    watched.row().facefusion = Some(Box::default());
    for _ in 0..50 {
        watched.ended(3 * SECOND);
    }
    watched.run(70);
    for period in 1..=9 {
        watched.row().facefusion.as_mut().unwrap().running = 1;
        watched.run(3);
        watched.row().facefusion.as_mut().unwrap().running = 0;
        for _ in 0..2 {
            count(&mut watched.row().facefusion.as_mut().unwrap().counters.durations, 3 * SECOND);
        }
        watched.row().cgroup.memory.rss_bytes = Some(GIB + period * 100 * MIB);
        watched.run(70);
    }
    let per_job = watched.floor(Memory::Host).unwrap().trend.unwrap().bytes_per_job;
    assert!((per_job / (50 * MIB) as f64 - 1.0).abs() < 0.01, "two jobs in each period: {per_job}");
}

/// Ten minutes in which a job of a minute begins before the previous one ends, every 50 s.
fn overlapping(watched: &mut Watched, leaked_bytes: u64) {
    for _ in 0..12 {
        let (gpu_bytes, host_bytes) = watched.held();
        watched.in_flight(InFlight { running: 2, queued: 3, unknown: 0 });
        watched.hold(gpu_bytes + GIB, host_bytes + GIB);
        watched.run(10);
        watched.ended(60 * SECOND);
        watched.in_flight(InFlight { running: 1, queued: 3, unknown: 0 });
        watched.hold(gpu_bytes + leaked_bytes, host_bytes);
        watched.run(40);
    }
}

#[test]
fn jobs_that_overlap_have_a_floor_every_ten_minutes() {
    let mut leaky = Watched::serving();
    for _ in 0..12 {
        overlapping(&mut leaky, 50 * MIB);
    }
    assert_eq!(leaky.suspected(), [Some(true), Some(false), None]);
    let trend = leaky.floor(Memory::Gpu).unwrap().trend.unwrap();
    assert!((trend.bytes_per_job / (50 * MIB) as f64 - 1.0).abs() < 0.1, "{trend:?}");
}

#[test]
fn one_long_job_has_no_floor_while_it_runs() {
    let mut watched = Watched::serving();
    watched.in_flight(InFlight { running: 1, ..InFlight::default() });
    for minute in 0..300 {
        watched.hold(GIB + minute * 100 * MIB, GIB + minute * 100 * MIB);
        watched.ended(Duration::from_millis(500));
        watched.run(60);
        assert_eq!(watched.row().memory_floors, [], "minute {minute}");
    }
    watched.in_flight(InFlight::default());
    watched.run(6);
    assert_eq!(watched.row().memory_floors.len(), 2);
}

#[test]
fn requests_of_more_than_a_second_are_jobs() {
    let mut watched = Watched::serving();
    watched.row().jobs = None;
    let request = |watched: &mut Watched, time| {
        let requests: &mut RequestUsage = watched.row().requests.as_mut().unwrap();
        requests.in_flight = 1;
        watched.run(1);
        let requests = watched.row().requests.as_mut().unwrap();
        requests.in_flight = 0;
        count(&mut requests.measures.durations[duration::RESPONSE], time);
        watched.run(10);
    };
    request(&mut watched, SECOND);
    assert_eq!(watched.row().memory_floors, []);
    request(&mut watched, 2 * SECOND);
    assert_eq!(watched.row().memory_floors.len(), 2);
}

#[test]
fn the_drivers_memory_is_judged_if_nvml_does_not_report_it_and_while_no_process_is_new() {
    let mut watched = Watched::serving();
    watched.row().gpus.clear();
    let drive = |row: &mut ContainerRow, allocated_bytes, freed_bytes, contexts| {
        let counters = DriverCounters { allocated_bytes, freed_bytes, contexts, ..DriverCounters::default() };
        row.nvidia_driver = Some(Box::new(DriverUsage { counters, ..DriverUsage::default() }));
    };
    let job = |watched: &mut Watched, allocated_bytes, freed_bytes, contexts| {
        watched.in_flight(InFlight { running: 1, ..InFlight::default() });
        watched.run(3);
        watched.in_flight(InFlight::default());
        watched.ended(3 * SECOND);
        drive(watched.row(), allocated_bytes, freed_bytes, contexts);
        watched.run(10);
    };
    drive(watched.row(), GIB, 0, 1);
    for number in 1..=11 {
        job(&mut watched, number * 3 * GIB, number * 2 * GIB, 1);
    }
    assert_eq!(watched.floor(Memory::Driver).unwrap().floor_bytes, 11 * GIB);
    assert_eq!(watched.suspected(), [None, Some(false), Some(true)]);
    // A process for each job frees its memory by its exit, without a call.
    for number in 1..=40 {
        job(&mut watched, (11 + number) * 3 * GIB, 22 * GIB, 1 + number);
        assert_eq!(watched.suspected(), [None, Some(false), None], "job {number}");
    }
    watched.row().gpus = row(1).gpus;
    watched.hold(GIB, GIB);
    for number in 1..=11 {
        job(&mut watched, (51 + number) * 3 * GIB, 22 * GIB, 41);
    }
    assert!(watched.floor(Memory::Driver).unwrap().trend.is_some());
    assert_eq!(watched.suspected(), [Some(false), Some(false), None], "NVML contradicts");
}

#[test]
fn unknown_memory_has_no_floor() {
    let mut watched = Watched::serving();
    watched.row().gpus[0].memory_used_bytes = None;
    watched.row().gpus.push(ContainerGpu { memory_used_bytes: Some(GIB), ..ContainerGpu::default() });
    watched.row().cgroup.memory.swap_bytes = Some(MIB);
    watched.in_flight(InFlight { unknown: 1, ..InFlight::default() });
    watched.run(3);
    watched.in_flight(InFlight::default());
    watched.ended(3 * SECOND);
    watched.run(6);
    let expected = MemoryFloor {
        memory: Memory::Host,
        floor_bytes: GIB + MIB,
        trend: None,
        is_suspected: None,
        full_in: None,
    };
    assert_eq!(watched.row().memory_floors, [expected]);
}

#[test]
fn a_restart_begins_a_new_history() {
    let mut watched = Watched::serving();
    for job in 1..=11 {
        watched.job();
        watched.hold(GIB + job * 512 * MIB, GIB);
        watched.run(10);
    }
    assert_eq!(watched.suspected()[0], Some(true));
    watched.row().key = 2;
    watched.run(60);
    assert_eq!(watched.row().memory_floors, []);
    assert_eq!(watched.derivation.histories.len(), 1);
    watched.row().running = false;
    watched.run(1);
    assert!(watched.derivation.histories.is_empty(), "dropped with the container");
}

#[test]
fn the_histories_of_a_thousand_containers_are_bounded() {
    let rows = (0..1000).map(row);
    let mut watched = Watched::new(rows.collect());
    for job in 1..=100 {
        for utilization in [Some(1.0), Some(0.0)] {
            for row in &mut watched.snapshot.containers {
                row.gpus[0].utilization_ratio = utilization;
                row.gpus[0].memory_used_bytes = Some(job * GIB);
                row.cgroup.memory.rss_bytes = Some(job * GIB);
            }
            watched.run(7);
        }
    }
    let histories = watched.derivation.histories.values();
    let lengths = histories.flat_map(|history| history.floors.iter().map(Floors::len));
    assert_eq!(lengths.clone().max(), Some(FLOORS_MAX));
    let floor_bytes = lengths.sum::<usize>() * size_of::<Floor>();
    assert!(floor_bytes / 1000 + size_of::<History>() <= 2560, "{floor_bytes} bytes");
    watched.snapshot.containers.clear();
    watched.run(1);
    assert!(watched.derivation.histories.is_empty());
}
