//! Counters of a container's earlier runs, and how they are added to the counters of the current run.
//!
//! The rule for all types of a row: counters are added, gauges keep their value. Each type implements [`Accumulate`];
//! each implementation lists all fields, so that the compiler reports a new field that is not handled. Interface
//! counters are not carried over because they belong to the network namespace, which may outlive a run or be shared.

mod facefusion;

use glassbox_ebpf::counters::Counters as _;

use super::{
    ContainerRow,
    cgroup::{CgroupUsage, CpuUsage, DeviceIo, HugePages, MemoryUsage, Pressure, Pressures},
    facefusion::FaceFusion,
    gpu::ContainerGpu,
    jobs::{IgnoredEvents, JobCounters, Jobs},
    network::HostNetworkCounters,
    nvidia_driver::{CommandUsage, DriverCounters, DriverUsage, FailureCount},
    oom::OomKills,
    programs::{ProgramCounters, ProgramUsage},
    requests::{RequestMeasures, RequestUsage, ResponseCount, RetryCount},
    scheduler::{Histogram, SchedulerCounters},
    sockets::{ConnectionCounters, SocketCounters, SocketUsage, UnixCounters},
    uploads::{SizeHistogram, Uploads},
};

/// A type with counters.
pub trait Accumulate {
    /// Adds the counters of an earlier run. Gauges keep their value.
    fn accumulate(&mut self, earlier: &Self);

    /// A copy without the gauges: what is kept of a run that has ended.
    #[must_use]
    fn counters(&self) -> Self;
}

/// The counters of all earlier runs of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    cgroup: CgroupUsage,
    scheduler: Option<Box<SchedulerCounters>>,
    host_network: Option<HostNetworkCounters>,
    sockets: Option<Box<SocketUsage>>,
    requests: Option<Box<RequestUsage>>,
    jobs: Option<Box<Jobs>>,
    facefusion: Option<Box<FaceFusion>>,
    oom: OomKills,
    programs: Vec<ProgramUsage>,
    nvidia_driver: Option<Box<DriverUsage>>,
    gpus: Vec<ContainerGpu>,
}

impl Totals {
    /// The counters of a final row.
    #[must_use]
    pub fn of(row: &ContainerRow) -> Self {
        Self {
            cgroup: row.cgroup.counters(),
            scheduler: row.scheduler.counters(),
            host_network: row.host_network.counters(),
            sockets: row.sockets.counters(),
            requests: row.requests.counters(),
            jobs: row.jobs.counters(),
            facefusion: row.facefusion.counters(),
            oom: row.oom.counters(),
            programs: row.programs.counters(),
            nvidia_driver: row.nvidia_driver.counters(),
            gpus: row.gpus.iter().map(ContainerGpu::totals).collect(),
        }
    }

    /// The counters that a successor with another container ID takes over: all except those that are exported under the
    /// container ID.
    #[must_use]
    pub fn of_successor(self) -> Self {
        Self { cgroup: CgroupUsage::default(), ..self }
    }

    /// The sum of these counters and others.
    #[must_use]
    pub fn with(mut self, others: Option<&Self>) -> Self {
        if let Some(others) = others {
            self.cgroup.accumulate(&others.cgroup);
            self.scheduler.accumulate(&others.scheduler);
            self.host_network.accumulate(&others.host_network);
            self.sockets.accumulate(&others.sockets);
            self.requests.accumulate(&others.requests);
            self.jobs.accumulate(&others.jobs);
            self.facefusion.accumulate(&others.facefusion);
            self.oom.accumulate(&others.oom);
            self.programs.accumulate(&others.programs);
            self.nvidia_driver.accumulate(&others.nvidia_driver);
            add_gpus(&mut self.gpus, &others.gpus);
        }
        self
    }

    /// Adds the counters to those of the current run.
    pub fn add_to(&self, row: &mut ContainerRow) {
        row.cgroup.accumulate(&self.cgroup);
        row.scheduler.accumulate(&self.scheduler);
        row.host_network.accumulate(&self.host_network);
        row.sockets.accumulate(&self.sockets);
        row.requests.accumulate(&self.requests);
        row.jobs.accumulate(&self.jobs);
        row.facefusion.accumulate(&self.facefusion);
        row.oom.accumulate(&self.oom);
        row.programs.accumulate(&self.programs);
        row.nvidia_driver.accumulate(&self.nvidia_driver);
        add_gpus(&mut row.gpus, &self.gpus);
    }
}

macro_rules! counters_only {
    ($($kind:ty),+) => { $(
        impl Accumulate for $kind {
            fn accumulate(&mut self, earlier: &Self) {
                self.add(earlier);
            }

            fn counters(&self) -> Self {
                *self
            }
        }
    )+ };
}

counters_only!(
    u64,
    Histogram,
    SchedulerCounters,
    HostNetworkCounters,
    SocketCounters,
    ConnectionCounters,
    UnixCounters,
    DriverCounters,
    RequestMeasures,
    ProgramCounters
);

impl Accumulate for SocketUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self {
            traffic,
            connections,
            has_resets,
            has_drops,
            open: _,
            accept_queue: _,
            unix,
            listening_ports: _,
        } = self;
        traffic.accumulate(&earlier.traffic);
        connections.accumulate(&earlier.connections);
        *has_resets |= earlier.has_resets;
        *has_drops |= earlier.has_drops;
        unix.accumulate(&earlier.unix);
    }

    fn counters(&self) -> Self {
        Self { open: None, accept_queue: None, listening_ports: Vec::new(), ..self.clone() }
    }
}

/// If only one of the runs has a value, the sum is that value.
impl<T: Accumulate> Accumulate for Option<T> {
    fn accumulate(&mut self, earlier: &Self) {
        match (self.as_mut(), earlier) {
            (Some(current), Some(earlier)) => current.accumulate(earlier),
            (None, Some(earlier)) => *self = Some(earlier.counters()),
            (_, None) => {}
        }
    }

    fn counters(&self) -> Self {
        self.as_ref().map(T::counters)
    }
}

impl<T: Accumulate> Accumulate for Box<T> {
    fn accumulate(&mut self, earlier: &Self) {
        (**self).accumulate(earlier);
    }

    fn counters(&self) -> Self {
        Self::new((**self).counters())
    }
}

/// An entry of a list. Entries are matched by key.
trait Keyed: Accumulate {
    fn is_same(&self, other: &Self) -> bool;
}

impl<T: Keyed> Accumulate for Vec<T> {
    fn accumulate(&mut self, earlier: &Self) {
        for earlier in earlier {
            match self.iter_mut().find(|current| current.is_same(earlier)) {
                Some(current) => current.accumulate(earlier),
                None => self.push(earlier.counters()),
            }
        }
    }

    fn counters(&self) -> Self {
        self.iter().map(T::counters).collect()
    }
}

impl Accumulate for OomKills {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { this_run, earlier_runs, last_at: _ } = self;
        earlier_runs.accumulate(&(earlier.earlier_runs + earlier.this_run.unwrap_or(0)));
        // If the kills of the earlier run are known, the total is known.
        if earlier.this_run.is_some() {
            this_run.get_or_insert(0);
        }
    }

    fn counters(&self) -> Self {
        Self { last_at: None, ..*self }
    }
}

impl Keyed for ProgramUsage {
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Accumulate for ProgramUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { name: _, running: _, counters } = self;
        counters.accumulate(&earlier.counters);
    }

    fn counters(&self) -> Self {
        Self { running: 0, ..self.clone() }
    }
}

impl Accumulate for CgroupUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { cpu, memory, devices, pressure, processes: _, huge_pages, numa_pages: _, limits: _ } =
            self;
        cpu.accumulate(&earlier.cpu);
        memory.accumulate(&earlier.memory);
        devices.accumulate(&earlier.devices);
        pressure.accumulate(&earlier.pressure);
        huge_pages.accumulate(&earlier.huge_pages);
    }

    fn counters(&self) -> Self {
        Self {
            cpu: self.cpu.counters(),
            memory: self.memory.counters(),
            devices: self.devices.counters(),
            pressure: self.pressure.counters(),
            huge_pages: self.huge_pages.counters(),
            ..Self::default()
        }
    }
}

impl Accumulate for CpuUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self {
            usage_ns,
            user_ns,
            system_ns,
            periods,
            throttled_periods,
            throttled_ns,
            burst_periods,
            burst_ns,
        } = self;
        usage_ns.accumulate(&earlier.usage_ns);
        user_ns.accumulate(&earlier.user_ns);
        system_ns.accumulate(&earlier.system_ns);
        periods.accumulate(&earlier.periods);
        throttled_periods.accumulate(&earlier.throttled_periods);
        throttled_ns.accumulate(&earlier.throttled_ns);
        burst_periods.accumulate(&earlier.burst_periods);
        burst_ns.accumulate(&earlier.burst_ns);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Accumulate for MemoryUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self {
            usage_bytes: _,
            working_set_bytes: _,
            rss_bytes: _,
            cache_bytes: _,
            mapped_file_bytes: _,
            swap_bytes: _,
            max_usage_bytes: _,
            kernel_bytes: _,
            active_file_bytes: _,
            inactive_file_bytes: _,
            failcnt,
            page_faults,
            hierarchy_page_faults,
            major_page_faults,
            hierarchy_major_page_faults,
            high_events,
            max_events,
            file_dirty_bytes: _,
            file_writeback_bytes: _,
            scanned_pages,
            stolen_pages,
            file_refaults,
            anonymous_refaults,
        } = self;
        failcnt.accumulate(&earlier.failcnt);
        page_faults.accumulate(&earlier.page_faults);
        hierarchy_page_faults.accumulate(&earlier.hierarchy_page_faults);
        major_page_faults.accumulate(&earlier.major_page_faults);
        hierarchy_major_page_faults.accumulate(&earlier.hierarchy_major_page_faults);
        high_events.accumulate(&earlier.high_events);
        max_events.accumulate(&earlier.max_events);
        scanned_pages.accumulate(&earlier.scanned_pages);
        stolen_pages.accumulate(&earlier.stolen_pages);
        file_refaults.accumulate(&earlier.file_refaults);
        anonymous_refaults.accumulate(&earlier.anonymous_refaults);
    }

    fn counters(&self) -> Self {
        let mut counters = Self::default();
        counters.accumulate(self);
        counters
    }
}

impl Accumulate for RequestUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self {
            responses,
            retries,
            measures,
            in_flight: _,
            unanswered: _,
            streams: _,
            oldest: _,
            slow: _,
            uploads,
        } = self;
        uploads.accumulate(&earlier.uploads);
        responses.accumulate(&earlier.responses);
        retries.accumulate(&earlier.retries);
        measures.accumulate(&earlier.measures);
    }

    fn counters(&self) -> Self {
        Self { in_flight: 0, unanswered: 0, streams: 0, oldest: None, slow: Vec::new(), ..self.clone() }
    }
}

impl Keyed for ResponseCount {
    fn is_same(&self, other: &Self) -> bool {
        (self.method, self.code_class, &self.route) == (other.method, other.code_class, &other.route)
    }
}

impl Accumulate for Uploads {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { pixels: SizeHistogram { counts, sum }, unknown, others } = self;
        counts.add(&earlier.pixels.counts);
        sum.add(&earlier.pixels.sum);
        unknown.add(&earlier.unknown);
        others.add(&earlier.others);
    }

    fn counters(&self) -> Self {
        *self
    }
}

impl Keyed for RetryCount {
    fn is_same(&self, other: &Self) -> bool {
        self.route == other.route
    }
}

impl Accumulate for RetryCount {
    fn accumulate(&mut self, earlier: &Self) {
        self.count.accumulate(&earlier.count);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Accumulate for ResponseCount {
    fn accumulate(&mut self, earlier: &Self) {
        self.count.accumulate(&earlier.count);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Keyed for DeviceIo {
    fn is_same(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Accumulate for DeviceIo {
    fn accumulate(&mut self, earlier: &Self) {
        let Self {
            number: _,
            name: _,
            read_bytes,
            written_bytes,
            reads,
            writes,
            cost_usage_us,
            cost_wait_us,
            cost_indebt_us,
            cost_indelay_us,
        } = self;
        read_bytes.accumulate(&earlier.read_bytes);
        written_bytes.accumulate(&earlier.written_bytes);
        reads.accumulate(&earlier.reads);
        writes.accumulate(&earlier.writes);
        cost_usage_us.accumulate(&earlier.cost_usage_us);
        cost_wait_us.accumulate(&earlier.cost_wait_us);
        cost_indebt_us.accumulate(&earlier.cost_indebt_us);
        cost_indelay_us.accumulate(&earlier.cost_indelay_us);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Accumulate for Pressures {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { cpu, memory, io } = self;
        cpu.accumulate(&earlier.cpu);
        memory.accumulate(&earlier.memory);
        io.accumulate(&earlier.io);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Accumulate for Pressure {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { waiting_us, stalled_us } = self;
        waiting_us.accumulate(&earlier.waiting_us);
        stalled_us.accumulate(&earlier.stalled_us);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Keyed for HugePages {
    fn is_same(&self, other: &Self) -> bool {
        self.page_size == other.page_size
    }
}

impl Accumulate for HugePages {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { page_size: _, usage_bytes: _, max_usage_bytes: _, failcnt } = self;
        failcnt.accumulate(&earlier.failcnt);
    }

    fn counters(&self) -> Self {
        Self { usage_bytes: None, max_usage_bytes: None, ..self.clone() }
    }
}

impl Accumulate for DriverUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self {
            commands,
            failures,
            polls,
            counters,
            in_flight: _,
            waiting: _,
            cold_start: _,
            refused_at: _,
            earlier_refused_at,
            per_command_histograms: _,
        } = self;
        *earlier_refused_at = (*earlier_refused_at).max(earlier.earlier_refused_at).max(earlier.refused_at);
        commands.accumulate(&earlier.commands);
        commands.sort_by(|one, other| (one.device, &one.command).cmp(&(other.device, &other.command)));
        failures.accumulate(&earlier.failures);
        for (device, waits) in &earlier.polls {
            match polls.iter_mut().find(|(current, _)| current == device) {
                Some((_, current)) => current.accumulate(waits),
                None => polls.push((device, *waits)),
            }
        }
        counters.accumulate(&earlier.counters);
    }

    fn counters(&self) -> Self {
        Self {
            in_flight: 0,
            waiting: None,
            cold_start: None,
            refused_at: None,
            earlier_refused_at: self.earlier_refused_at.max(self.refused_at),
            ..self.clone()
        }
    }
}

impl Keyed for CommandUsage {
    fn is_same(&self, other: &Self) -> bool {
        (self.device, &self.command) == (other.device, &other.command)
    }
}

impl Accumulate for CommandUsage {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { device: _, command: _, durations } = self;
        durations.accumulate(&earlier.durations);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Keyed for FailureCount {
    fn is_same(&self, other: &Self) -> bool {
        (self.device, &self.command, &self.reason) == (other.device, &other.command, &other.reason)
    }
}

impl Accumulate for FailureCount {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { device: _, command: _, reason: _, count } = self;
        count.accumulate(&earlier.count);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

/// Further runs may have other functions, so the number of functions is limited here, too.
impl Accumulate for Jobs {
    fn accumulate(&mut self, earlier: &Self) {
        for earlier in &earlier.functions {
            self.function(&earlier.name).counters.accumulate(&earlier.counters);
        }
        let Self { functions: _, in_flight: _, awaited: _, queue_size: _, ignored } = self;
        ignored.accumulate(&earlier.ignored);
    }

    fn counters(&self) -> Self {
        Self { functions: self.functions.clone(), ignored: self.ignored, ..Self::default() }
    }
}

impl Accumulate for JobCounters {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { started, ended, queue_waits, runs, durations, first_progress } = self;
        started.accumulate(&earlier.started);
        ended.add(&earlier.ended);
        queue_waits.accumulate(&earlier.queue_waits);
        runs.accumulate(&earlier.runs);
        durations.accumulate(&earlier.durations);
        first_progress.accumulate(&earlier.first_progress);
    }

    fn counters(&self) -> Self {
        self.clone()
    }
}

impl Accumulate for IgnoredEvents {
    fn accumulate(&mut self, earlier: &Self) {
        let Self { unknown_job, ended_job, unknown_message, unreadable, refused, evicted } = self;
        unknown_job.accumulate(&earlier.unknown_job);
        ended_job.accumulate(&earlier.ended_job);
        unknown_message.accumulate(&earlier.unknown_message);
        unreadable.accumulate(&earlier.unreadable);
        refused.accumulate(&earlier.refused);
        evicted.accumulate(&earlier.evicted);
    }

    fn counters(&self) -> Self {
        *self
    }
}

/// Matches GPUs by index and unique ID, because a GPU may have been replaced by another one.
fn add_gpus(gpus: &mut Vec<ContainerGpu>, earlier: &[ContainerGpu]) {
    for earlier in earlier {
        match gpus.iter_mut().find(|current| (current.index, &current.uuid) == (earlier.index, &earlier.uuid))
        {
            Some(current) => {
                current.busy = current.busy.saturating_add(earlier.busy);
                current.energy_joules = sum(current.energy_joules, earlier.energy_joules);
            }
            None => gpus.push(earlier.totals()),
        }
    }
    gpus.sort_unstable_by_key(|gpu| gpu.index);
}

fn sum(current: Option<f64>, earlier: Option<f64>) -> Option<f64> {
    match (current, earlier) {
        (Some(current), Some(earlier)) => Some(current + earlier),
        (current, earlier) => current.or(earlier),
    }
}

#[cfg(test)]
mod tests;
