//! Huge pages, and pages by NUMA node. Both are off by default.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, cgroup::HugePages},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_hugetlb_usage_bytes")
        .help("Huge pages in use, in bytes. Only with cgroup.hugetlb = true.")
        .source("v2 hugetlb.SIZE.current; v1 hugetlb.SIZE.usage_in_bytes")
        .labels(&["pagesize"])
        .cadvisor(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.usage_bytes))),
    Family::gauge("container_hugetlb_max_usage_bytes")
        .help("Maximum huge page usage so far, in bytes. Only with cgroup.hugetlb = true.")
        .source("v1 hugetlb.SIZE.max_usage_in_bytes; v2 has none")
        .labels(&["pagesize"])
        .cadvisor(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.max_usage_bytes))),
    Family::counter("container_hugetlb_failcnt")
        .help("Number of times huge page usage hit the limit. Only with cgroup.hugetlb = true.")
        .source("v2 hugetlb.SIZE.events max; v1 hugetlb.SIZE.failcnt")
        .labels(&["pagesize"])
        .cadvisor(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.failcnt))),
    Family::gauge("container_memory_numa_pages")
        .help(
            "Memory pages on a NUMA node. Scope hierarchy includes descendants, and is the only one on \
             cgroup v2. Only with cgroup.numa = true.",
        )
        .source("memory.numa_stat; bytes on v2, divided by the page size")
        .labels(&["type", "scope", "node"])
        .cadvisor(|row, emit| {
            for pages in &row.cgroup.numa_pages {
                let mut node = itoa::Buffer::new();
                emit.with(&[pages.kind, pages.scope, node.format(pages.node)]).count(pages.pages);
            }
        }),
];

fn each_size(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&HugePages, &mut Emit<'_>)) {
    for pages in &row.cgroup.huge_pages {
        read(pages, &mut emit.with(&[pages.page_size]));
    }
}
