//! Memory, by what it is used for.

use crate::exposition::family::Family;

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_memory_usage_bytes")
        .help("Memory charged to the container, page cache included, in bytes.")
        .source("v2 memory.current; v1 memory.usage_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.usage_bytes)),
    Family::gauge("container_memory_working_set_bytes")
        .help(
            "Memory usage without the inactive page cache, in bytes: what counts against the limit when \
               it gets tight.",
        )
        .source("usage - memory.stat inactive_file (v1: total_inactive_file), at least 0")
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
        .help("Files mapped into processes, in bytes.")
        .source("v2 memory.stat file_mapped; v1 memory.stat total_mapped_file")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.mapped_file_bytes)),
    Family::gauge("container_memory_swap")
        .help("Memory swapped out, in bytes.")
        .source("v2 memory.swap.current; v1 memory.stat total_swap")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.swap_bytes)),
    Family::gauge("container_memory_max_usage_bytes")
        .help("The highest memory usage so far, in bytes.")
        .source("v2 memory.peak (Linux 5.19); v1 memory.max_usage_in_bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.max_usage_bytes)),
    Family::gauge("container_memory_kernel_usage")
        .help("Kernel memory charged to the container, in bytes.")
        .source("v2 memory.stat kernel (Linux 5.18); v1 memory.kmem.usage_in_bytes")
        .unit("bytes")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.kernel_bytes)),
    Family::gauge("container_memory_total_active_file_bytes")
        .help("Page cache used of late, in bytes.")
        .source("v2 memory.stat active_file; v1 memory.stat total_active_file")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.active_file_bytes)),
    Family::gauge("container_memory_total_inactive_file_bytes")
        .help("Page cache not used of late, in bytes.")
        .source("v2 memory.stat inactive_file; v1 memory.stat total_inactive_file")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.inactive_file_bytes)),
    Family::counter("container_memory_failcnt")
        .help("Times that memory usage hit the limit.")
        .source("v1 memory.failcnt; v2 has none")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.failcnt)),
    Family::counter("container_memory_events_high_total")
        .help("Times that memory usage went over memory.high, and the container was slowed down for it.")
        .source("v2 memory.events high")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.high_events)),
    Family::counter("container_memory_events_max_total")
        .help("Times that memory usage was about to go over the limit.")
        .source("v2 memory.events max")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.max_events)),
    Family::gauge("container_memory_file_dirty_bytes")
        .help("Page cache that is yet to be written back, in bytes.")
        .source("v2 memory.stat file_dirty; v1 memory.stat total_dirty")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.file_dirty_bytes)),
    Family::gauge("container_memory_file_writeback_bytes")
        .help("Page cache that is being written back, in bytes.")
        .source("v2 memory.stat file_writeback; v1 memory.stat total_writeback")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.file_writeback_bytes)),
    Family::counter("container_memory_pgscan_total")
        .help("Pages that the kernel looked at to reclaim them.")
        .source("v2 memory.stat pgscan")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.scanned_pages)),
    Family::counter("container_memory_pgsteal_total")
        .help("Pages that the kernel reclaimed.")
        .source("v2 memory.stat pgsteal")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.stolen_pages)),
    Family::counter("container_memory_workingset_refault_file_total")
        .help("Pages of files that had been reclaimed and were wanted again soon: memory is too tight.")
        .source("v2 memory.stat workingset_refault_file (Linux 5.9); v1 total_workingset_refault_file")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.file_refaults)),
    Family::counter("container_memory_workingset_refault_anon_total")
        .help("Anonymous pages that had been swapped out and were wanted again soon.")
        .source("v2 memory.stat workingset_refault_anon (Linux 5.9); v1 total_workingset_refault_anon")
        .cadvisor(|row, emit| emit.count(row.cgroup.memory.anonymous_refaults)),
    Family::counter("container_memory_failures_total")
        .help(
            "Page faults: failure_type pgfault is all of them, pgmajfault those that had to read from a \
               disk. Scope hierarchy is with descendants.",
        )
        .source(
            "memory.stat pgfault, pgmajfault (v1 hierarchy: total_*); on v2 both scopes are with \
                 descendants",
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
