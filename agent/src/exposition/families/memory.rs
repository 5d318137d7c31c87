//! Memory by kind of use.

use crate::exposition::family::Family;

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_memory_usage_bytes")
        .help("Memory charged to the container, including page cache, in bytes.")
        .source("v2 memory.current; v1 memory.usage_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.usage_bytes)),
    Family::gauge("container_memory_working_set_bytes")
        .help(
            "Memory usage without inactive page cache, in bytes: the part that counts when memory \
             approaches the limit.",
        )
        .source("usage minus memory.stat inactive_file (v1: total_inactive_file), at least 0")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.working_set_bytes)),
    Family::gauge("container_memory_rss")
        .help("Anonymous memory, in bytes.")
        .source("v2 memory.stat anon; v1 memory.stat total_rss")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.rss_bytes)),
    Family::gauge("container_memory_cache")
        .help("Page cache, in bytes.")
        .source("v2 memory.stat file; v1 memory.stat total_cache")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.cache_bytes)),
    Family::gauge("container_memory_mapped_file")
        .help("Memory-mapped files, in bytes.")
        .source("v2 memory.stat file_mapped; v1 memory.stat total_mapped_file")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.mapped_file_bytes)),
    Family::gauge("container_memory_swap")
        .help("Swapped-out memory, in bytes.")
        .source("v2 memory.swap.current; v1 memory.stat total_swap")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.swap_bytes)),
    Family::gauge("container_memory_max_usage_bytes")
        .help("Maximum memory usage so far, in bytes.")
        .source("v2 memory.peak (Linux 5.19); v1 memory.max_usage_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.max_usage_bytes)),
    Family::gauge("container_memory_kernel_usage")
        .help("Kernel memory charged to the container, in bytes.")
        .source("v2 memory.stat kernel (Linux 5.18); v1 memory.kmem.usage_in_bytes")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.kernel_bytes)),
    Family::gauge("container_memory_total_active_file_bytes")
        .help("Page cache on the active LRU list, in bytes.")
        .source("v2 memory.stat active_file; v1 memory.stat total_active_file")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.active_file_bytes)),
    Family::gauge("container_memory_total_inactive_file_bytes")
        .help("Page cache on the inactive LRU list, in bytes.")
        .source("v2 memory.stat inactive_file; v1 memory.stat total_inactive_file")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.inactive_file_bytes)),
    Family::counter("container_memory_failcnt")
        .help("Number of times memory usage hit the limit.")
        .source("v1 memory.failcnt; v2 has none")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.failcnt)),
    Family::counter("container_memory_events_high_total")
        .help("Number of times memory usage exceeded memory.high and the container was throttled.")
        .source("v2 memory.events high")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.high_events)),
    Family::counter("container_memory_events_max_total")
        .help("Number of times memory usage was about to exceed the limit.")
        .source("v2 memory.events max")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.max_events)),
    Family::gauge("container_memory_file_dirty_bytes")
        .help("Modified page cache that is not yet written back, in bytes.")
        .source("v2 memory.stat file_dirty; v1 memory.stat total_dirty")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.file_dirty_bytes)),
    Family::gauge("container_memory_file_writeback_bytes")
        .help("Page cache being written back, in bytes.")
        .source("v2 memory.stat file_writeback; v1 memory.stat total_writeback")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.file_writeback_bytes)),
    Family::counter("container_memory_pgscan_total")
        .help("Pages scanned by the kernel for reclaim.")
        .source("v2 memory.stat pgscan")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.scanned_pages)),
    Family::counter("container_memory_pgsteal_total")
        .help("Pages reclaimed by the kernel.")
        .source("v2 memory.stat pgsteal")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.stolen_pages)),
    Family::counter("container_memory_workingset_refault_file_total")
        .help(
            "Refaults of file pages that had been reclaimed shortly before. Growth indicates a memory \
             shortage.",
        )
        .source("v2 memory.stat workingset_refault_file (Linux 5.9); v1 total_workingset_refault_file")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.file_refaults)),
    Family::counter("container_memory_workingset_refault_anon_total")
        .help("Refaults of anonymous pages that had been swapped out shortly before.")
        .source("v2 memory.stat workingset_refault_anon (Linux 5.9); v1 total_workingset_refault_anon")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.anonymous_refaults)),
    Family::counter("container_memory_failures_total")
        .help(
            "Page faults by failure_type: pgfault is all of them, pgmajfault those that read from a disk. \
             Scope hierarchy includes descendants.",
        )
        .source(
            "memory.stat pgfault, pgmajfault (v1 hierarchy: total_*); on v2 both scopes include descendants",
        )
        .labels(&["failure_type", "scope"])
        .cadvisor(|row, emit| {
            let memory = &row.cgroup.memory;
            emit.with(&["pgfault", "container"]).count(memory.page_faults);
            emit.with(&["pgfault", "hierarchy"]).count(memory.hierarchy_page_faults);
            emit.with(&["pgmajfault", "container"]).count(memory.major_page_faults);
            emit.with(&["pgmajfault", "hierarchy"]).count(memory.hierarchy_major_page_faults);
        }),
];
