//! CPU, memory, block I/O, pressure, processes and limits of a container.

use std::sync::Arc;

/// Values from the cgroup files of one container. A value is `None` if this kernel or hierarchy does not provide it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CgroupUsage {
    /// Time on CPU and throttling.
    pub cpu: CpuUsage,
    /// Memory.
    pub memory: MemoryUsage,
    /// Block I/O by device; empty if there was none or the kernel does not report it.
    pub devices: Vec<DeviceIo>,
    /// Pressure stall information.
    pub pressure: Pressures,
    /// Processes and threads.
    pub processes: Processes,
    /// Huge pages, by size; empty unless `cgroup.hugetlb` is on.
    pub huge_pages: Vec<HugePages>,
    /// Pages by NUMA node; empty unless `cgroup.numa` is on.
    pub numa_pages: Vec<NumaPages>,
    /// Limits and reservations.
    pub limits: Limits,
}

/// CPU time since the cgroup was created.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuUsage {
    /// All CPU time, ns.
    pub usage_ns: Option<u64>,
    /// CPU time in user mode, ns.
    pub user_ns: Option<u64>,
    /// CPU time in the kernel, ns.
    pub system_ns: Option<u64>,
    /// CFS periods in which the cgroup was runnable; only with a quota.
    pub periods: Option<u64>,
    /// Periods in which the quota was used up.
    pub throttled_periods: Option<u64>,
    /// Time throttled, ns.
    pub throttled_ns: Option<u64>,
    /// Periods in which quota accumulated in earlier periods was used (burst).
    pub burst_periods: Option<u64>,
    /// CPU time above the quota, from accumulated quota, ns.
    pub burst_ns: Option<u64>,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryUsage {
    /// All memory charged to the cgroup, including page cache.
    pub usage_bytes: Option<u64>,
    /// `usage` without the inactive file cache.
    pub working_set_bytes: Option<u64>,
    /// Anonymous memory.
    pub rss_bytes: Option<u64>,
    /// Page cache.
    pub cache_bytes: Option<u64>,
    /// Files mapped into its processes.
    pub mapped_file_bytes: Option<u64>,
    /// Swap.
    pub swap_bytes: Option<u64>,
    /// The highest `usage` so far.
    pub max_usage_bytes: Option<u64>,
    /// Kernel memory.
    pub kernel_bytes: Option<u64>,
    /// Active file cache.
    pub active_file_bytes: Option<u64>,
    /// Inactive file cache.
    pub inactive_file_bytes: Option<u64>,
    /// Number of times that usage reached the limit.
    pub failcnt: Option<u64>,
    /// Page faults: of the cgroup alone (v1), or including descendants (v2).
    pub page_faults: Option<u64>,
    /// Page faults, including descendants.
    pub hierarchy_page_faults: Option<u64>,
    /// Major page faults: of the cgroup alone (v1), or including descendants (v2).
    pub major_page_faults: Option<u64>,
    /// Major page faults, including descendants.
    pub hierarchy_major_page_faults: Option<u64>,
    /// Number of times that usage exceeded `memory.high` and tasks were throttled.
    pub high_events: Option<u64>,
    /// Number of times that usage was about to exceed `memory.max`.
    pub max_events: Option<u64>,
    /// Dirty page cache, not yet written back.
    pub file_dirty_bytes: Option<u64>,
    /// Page cache under writeback.
    pub file_writeback_bytes: Option<u64>,
    /// Pages scanned by reclaim.
    pub scanned_pages: Option<u64>,
    /// Pages reclaimed.
    pub stolen_pages: Option<u64>,
    /// Refaults of file pages that were recently reclaimed.
    pub file_refaults: Option<u64>,
    /// Refaults of anonymous pages that were recently swapped out.
    pub anonymous_refaults: Option<u64>,
}

/// Block I/O on one device since the cgroup first used the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceIo {
    /// Major and minor number of the device.
    pub number: (u32, u32),
    /// Path of the device, such as `/dev/vda`; without a name, its numbers, such as `8:0`.
    pub name: Arc<str>,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
    /// Read requests.
    pub reads: Option<u64>,
    /// Write requests.
    pub writes: Option<u64>,
    /// Device time used according to the I/O cost model, µs.
    pub cost_usage_us: Option<u64>,
    /// Time that requests waited for budget, µs.
    pub cost_wait_us: Option<u64>,
    /// Time in debt: device time was used before it was available, µs.
    pub cost_indebt_us: Option<u64>,
    /// Time that tasks were delayed to pay off debt, µs.
    pub cost_indelay_us: Option<u64>,
}

/// Pressure stall information, by resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pressures {
    /// CPU.
    pub cpu: Pressure,
    /// Memory.
    pub memory: Pressure,
    /// Block I/O.
    pub io: Pressure,
}

/// Time stalled on one resource since the cgroup was created.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Time in which at least one task was stalled, µs.
    pub waiting_us: Option<u64>,
    /// Time in which all tasks were stalled at the same time, µs.
    pub stalled_us: Option<u64>,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Processes {
    /// Processes of the cgroup, without nested cgroups.
    pub processes: Option<u64>,
    /// Threads, including those of nested cgroups.
    pub threads: Option<u64>,
    /// The limit on threads; 0 if unlimited, as in cAdvisor.
    pub threads_max: Option<u64>,
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HugePages {
    /// The page size as the kernel writes it, such as `2MB`.
    pub page_size: &'static str,
    /// Current usage.
    pub usage_bytes: Option<u64>,
    /// The highest usage so far.
    pub max_usage_bytes: Option<u64>,
    /// Number of times that usage reached the limit.
    pub failcnt: Option<u64>,
}

/// Pages of one kind on one NUMA node.
#[derive(Clone, Debug, PartialEq)]
pub struct NumaPages {
    /// `file`, `anon` or `unevictable`.
    pub kind: &'static str,
    /// `container`, or `hierarchy` if nested cgroups are included.
    pub scope: &'static str,
    /// The node.
    pub node: u32,
    /// Number of pages.
    pub pages: u64,
}

/// Limits and reservations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// CFS period, µs.
    pub cpu_period_us: Option<u64>,
    /// CFS quota per period, µs; `None` without a quota.
    pub cpu_quota_us: Option<u64>,
    /// CPU shares, on the scale of cgroup v1 (the default is 1024).
    pub cpu_shares: Option<u64>,
    /// Memory limit; 0 if unlimited, as in cAdvisor.
    pub memory_limit_bytes: Option<u64>,
    /// Memory protected from reclaim; 0 if none is.
    pub memory_reservation_bytes: Option<u64>,
    /// Swap limit (v1: limit of memory and swap together); 0 if unlimited.
    pub memory_swap_limit_bytes: Option<u64>,
}

impl Limits {
    /// The memory limit; `None` if it is unlimited or unknown.
    #[must_use]
    pub fn finite_memory_bytes(&self) -> Option<u64> {
        self.memory_limit_bytes.filter(|limit| *limit > 0)
    }
}
