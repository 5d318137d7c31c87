//! CPU, memory and limits of a container.

/// What the cgroup files say of one container. `None` is what this kernel or hierarchy does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CgroupUsage {
    /// Time on CPU and throttling.
    pub cpu: CpuUsage,
    /// Memory.
    pub memory: MemoryUsage,
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
