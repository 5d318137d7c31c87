//! CPU, memory, block I/O, pressure, processes and limits of a container.

use std::sync::Arc;

/// What the cgroup files say of one container. `None` is what this kernel or hierarchy does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CgroupUsage {
    /// Time on CPU and throttling.
    pub cpu: CpuUsage,
    /// Memory.
    pub memory: MemoryUsage,
    /// Block I/O, by device; empty where it has done none, or where the kernel does not tell.
    pub devices: Vec<DeviceIo>,
    /// Time lost for want of something.
    pub pressure: Pressures,
    /// Processes and threads.
    pub processes: Processes,
    /// Huge pages, by size; empty unless `cgroup.hugetlb` is on.
    pub huge_pages: Vec<HugePages>,
    /// Pages by NUMA node; empty unless `cgroup.numa` is on.
    pub numa_pages: Vec<NumaPages>,
    /// What it may use.
    pub limits: Limits,
}

/// CPU time since the cgroup was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuUsage {
    /// All CPU time, ns.
    pub usage_ns: Option<u64>,
    /// CPU time in user mode, ns.
    pub user_ns: Option<u64>,
    /// CPU time in the kernel, ns.
    pub system_ns: Option<u64>,
    /// CFS periods that elapsed while it was runnable; only with a quota.
    pub periods: Option<u64>,
    /// Periods in which it used up its quota.
    pub throttled_periods: Option<u64>,
    /// Time for which it was throttled, ns.
    pub throttled_ns: Option<u64>,
    /// Periods in which it used quota saved up before.
    pub burst_periods: Option<u64>,
    /// Time on CPU beyond the quota, out of what was saved up, ns.
    pub burst_ns: Option<u64>,
}

/// Memory, in bytes unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryUsage {
    /// Everything charged to it, page cache included.
    pub usage_bytes: Option<u64>,
    /// `usage` without the inactive file cache; what the OOM killer looks at.
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
    /// Times that usage hit the limit.
    pub failcnt: Option<u64>,
    /// Page faults of the cgroup itself (v1) or with its descendants (v2).
    pub page_faults: Option<u64>,
    /// Page faults with its descendants.
    pub hierarchy_page_faults: Option<u64>,
    /// Major page faults of the cgroup itself (v1) or with its descendants (v2).
    pub major_page_faults: Option<u64>,
    /// Major page faults with its descendants.
    pub hierarchy_major_page_faults: Option<u64>,
    /// Times that it went over `memory.high` and was slowed down.
    pub high_events: Option<u64>,
    /// Times that it was about to go over `memory.max`.
    pub max_events: Option<u64>,
    /// Page cache that is yet to be written back.
    pub file_dirty_bytes: Option<u64>,
    /// Page cache that is being written back.
    pub file_writeback_bytes: Option<u64>,
    /// Pages that reclaim looked at.
    pub scanned_pages: Option<u64>,
    /// Pages that reclaim took.
    pub stolen_pages: Option<u64>,
    /// Pages of files that were reclaimed and wanted again soon.
    pub file_refaults: Option<u64>,
    /// Anonymous pages that were swapped out and wanted again soon.
    pub anonymous_refaults: Option<u64>,
}

/// Block I/O on one device since the cgroup first used it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceIo {
    /// Its numbers, major and minor.
    pub number: (u32, u32),
    /// Its name below `/dev`, with that, else its numbers as `8:0`.
    pub name: Arc<str>,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
    /// Read requests.
    pub reads: Option<u64>,
    /// Write requests.
    pub writes: Option<u64>,
    /// Device time used, by the I/O cost model, µs.
    pub cost_usage_us: Option<u64>,
    /// Time that requests waited for their share, µs.
    pub cost_wait_us: Option<u64>,
    /// Device time taken in advance, µs.
    pub cost_indebt_us: Option<u64>,
    /// Time for which tasks were held back for what was taken in advance, µs.
    pub cost_indelay_us: Option<u64>,
}

/// Pressure stall information, by what was wanting.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pressures {
    /// A CPU.
    pub cpu: Pressure,
    /// Memory.
    pub memory: Pressure,
    /// A block device.
    pub io: Pressure,
}

/// Time lost for want of one thing, since the cgroup was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Time for which at least one task waited, µs.
    pub waiting_us: Option<u64>,
    /// Time for which all tasks waited at once, µs.
    pub stalled_us: Option<u64>,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Processes {
    /// Processes of the cgroup itself.
    pub processes: Option<u64>,
    /// Threads, with those of nested cgroups.
    pub threads: Option<u64>,
    /// The limit on threads; 0 where unlimited, as cAdvisor has it.
    pub threads_max: Option<u64>,
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HugePages {
    /// The size of a page as the kernel writes it, such as `2MB`.
    pub page_size: &'static str,
    /// In use.
    pub usage_bytes: Option<u64>,
    /// The most that was in use.
    pub max_usage_bytes: Option<u64>,
    /// Times that the limit was hit.
    pub failcnt: Option<u64>,
}

/// Pages of one kind on one NUMA node.
#[derive(Clone, Debug, PartialEq)]
pub struct NumaPages {
    /// `file`, `anon` or `unevictable`.
    pub kind: &'static str,
    /// `container`, or `hierarchy` with nested cgroups.
    pub scope: &'static str,
    /// The node.
    pub node: u32,
    /// Pages.
    pub pages: u64,
}

/// What the container may use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// CFS period, µs.
    pub cpu_period_us: Option<u64>,
    /// CFS quota per period, µs; `None` without a quota.
    pub cpu_quota_us: Option<u64>,
    /// CPU shares, in v1's scale (1024 is the default of one container).
    pub cpu_shares: Option<u64>,
    /// Memory limit; 0 where unlimited, as cAdvisor has it.
    pub memory_limit_bytes: Option<u64>,
    /// Memory that reclaim leaves it; 0 where none is reserved.
    pub memory_reservation_bytes: Option<u64>,
    /// Swap limit (v1: memory and swap); 0 where unlimited.
    pub memory_swap_limit_bytes: Option<u64>,
}
