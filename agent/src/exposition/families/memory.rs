//! Memory, by what it is used for.

use crate::exposition::{
    Base, Family,
    Kind::{self, Counter, Gauge},
    Samples::{self, Container},
};

/// The families.
pub const FAMILIES: &[Family] = &[
    inherited(
        "container_memory_usage_bytes",
        Gauge,
        "Memory charged to the container, page cache included, in bytes.",
        "v2 memory.current; v1 memory.usage_in_bytes",
        Container(|row, emit| emit.count(row.cgroup.memory.usage_bytes)),
    ),
    inherited(
        "container_memory_working_set_bytes",
        Gauge,
        "Memory usage without the inactive page cache, in bytes: what counts against the limit when it gets \
         tight.",
        "usage - memory.stat inactive_file (v1: total_inactive_file), at least 0",
        Container(|row, emit| emit.count(row.cgroup.memory.working_set_bytes)),
    ),
    inherited(
        "container_memory_rss",
        Gauge,
        "Anonymous memory, in bytes.",
        "v2 memory.stat anon; v1 memory.stat total_rss",
        Container(|row, emit| emit.count(row.cgroup.memory.rss_bytes)),
    ),
    inherited(
        "container_memory_cache",
        Gauge,
        "Page cache, in bytes.",
        "v2 memory.stat file; v1 memory.stat total_cache",
        Container(|row, emit| emit.count(row.cgroup.memory.cache_bytes)),
    ),
    inherited(
        "container_memory_mapped_file",
        Gauge,
        "Files mapped into processes, in bytes.",
        "v2 memory.stat file_mapped; v1 memory.stat total_mapped_file",
        Container(|row, emit| emit.count(row.cgroup.memory.mapped_file_bytes)),
    ),
    inherited(
        "container_memory_swap",
        Gauge,
        "Memory swapped out, in bytes.",
        "v2 memory.swap.current; v1 memory.stat total_swap",
        Container(|row, emit| emit.count(row.cgroup.memory.swap_bytes)),
    ),
    inherited(
        "container_memory_max_usage_bytes",
        Gauge,
        "The highest memory usage so far, in bytes.",
        "v2 memory.peak (Linux 5.19); v1 memory.max_usage_in_bytes",
        Container(|row, emit| emit.count(row.cgroup.memory.max_usage_bytes)),
    ),
    inherited(
        "container_memory_kernel_usage",
        Gauge,
        "Kernel memory charged to the container, in bytes.",
        "v2 memory.stat kernel (Linux 5.18); v1 memory.kmem.usage_in_bytes",
        Container(|row, emit| emit.count(row.cgroup.memory.kernel_bytes)),
    ),
    inherited(
        "container_memory_total_active_file_bytes",
        Gauge,
        "Page cache used of late, in bytes.",
        "v2 memory.stat active_file; v1 memory.stat total_active_file",
        Container(|row, emit| emit.count(row.cgroup.memory.active_file_bytes)),
    ),
    inherited(
        "container_memory_total_inactive_file_bytes",
        Gauge,
        "Page cache not used of late, in bytes.",
        "v2 memory.stat inactive_file; v1 memory.stat total_inactive_file",
        Container(|row, emit| emit.count(row.cgroup.memory.inactive_file_bytes)),
    ),
    inherited(
        "container_memory_failcnt",
        Counter,
        "Times that memory usage hit the limit.",
        "v1 memory.failcnt; v2 has none",
        Container(|row, emit| emit.count(row.cgroup.memory.failcnt)),
    ),
    inherited(
        "container_memory_events_high_total",
        Counter,
        "Times that memory usage went over memory.high, and the container was slowed down for it.",
        "v2 memory.events high",
        Container(|row, emit| emit.count(row.cgroup.memory.high_events)),
    ),
    inherited(
        "container_memory_events_max_total",
        Counter,
        "Times that memory usage was about to go over the limit.",
        "v2 memory.events max",
        Container(|row, emit| emit.count(row.cgroup.memory.max_events)),
    ),
    inherited(
        "container_memory_file_dirty_bytes",
        Gauge,
        "Page cache that is yet to be written back, in bytes.",
        "v2 memory.stat file_dirty; v1 memory.stat total_dirty",
        Container(|row, emit| emit.count(row.cgroup.memory.file_dirty_bytes)),
    ),
    inherited(
        "container_memory_file_writeback_bytes",
        Gauge,
        "Page cache that is being written back, in bytes.",
        "v2 memory.stat file_writeback; v1 memory.stat total_writeback",
        Container(|row, emit| emit.count(row.cgroup.memory.file_writeback_bytes)),
    ),
    inherited(
        "container_memory_pgscan_total",
        Counter,
        "Pages that the kernel looked at to reclaim them.",
        "v2 memory.stat pgscan",
        Container(|row, emit| emit.count(row.cgroup.memory.scanned_pages)),
    ),
    inherited(
        "container_memory_pgsteal_total",
        Counter,
        "Pages that the kernel reclaimed.",
        "v2 memory.stat pgsteal",
        Container(|row, emit| emit.count(row.cgroup.memory.stolen_pages)),
    ),
    inherited(
        "container_memory_workingset_refault_file_total",
        Counter,
        "Pages of files that had been reclaimed and were wanted again soon: memory is too tight.",
        "v2 memory.stat workingset_refault_file (Linux 5.9); v1 total_workingset_refault_file",
        Container(|row, emit| emit.count(row.cgroup.memory.file_refaults)),
    ),
    inherited(
        "container_memory_workingset_refault_anon_total",
        Counter,
        "Anonymous pages that had been swapped out and were wanted again soon.",
        "v2 memory.stat workingset_refault_anon (Linux 5.9); v1 total_workingset_refault_anon",
        Container(|row, emit| emit.count(row.cgroup.memory.anonymous_refaults)),
    ),
    Family {
        name: "container_memory_failures_total",
        kind: Counter,
        help: "Page faults: failure_type pgfault is all of them, pgmajfault those that had to read from a \
               disk. Scope hierarchy is with descendants.",
        source: "memory.stat pgfault, pgmajfault (v1 hierarchy: total_*); on v2 both scopes are with \
                 descendants",
        base: Base::CAdvisor,
        labels: &["failure_type", "scope"],
        samples: Container(|row, emit| {
            let memory = &row.cgroup.memory;
            emit.with(&["pgfault", "container"]).count(memory.page_faults);
            emit.with(&["pgfault", "hierarchy"]).count(memory.hierarchy_page_faults);
            emit.with(&["pgmajfault", "container"]).count(memory.major_page_faults);
            emit.with(&["pgmajfault", "hierarchy"]).count(memory.hierarchy_major_page_faults);
        }),
    },
];

const fn inherited(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    source: &'static str,
    samples: Samples,
) -> Family {
    Family { name, kind, help, source, base: Base::CAdvisor, labels: &[], samples }
}
