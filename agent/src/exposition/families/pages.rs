//! Huge pages, and pages by NUMA node: both off unless configured.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, cgroup::HugePages},
};

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_hugetlb_usage_bytes")
        .help("Huge pages in use, in bytes. Only with cgroup.hugetlb = true.")
        .source("v2 hugetlb.SIZE.current; v1 hugetlb.SIZE.usage_in_bytes")
        .labels(&["pagesize"])
        .cadvisor(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.usage_bytes))),
    Family::gauge("container_hugetlb_max_usage_bytes")
        .help("The most huge pages that were in use, in bytes. Only with cgroup.hugetlb = true.")
        .source("v1 hugetlb.SIZE.max_usage_in_bytes; v2 has none")
        .labels(&["pagesize"])
        .cadvisor(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.max_usage_bytes))),
    Family::counter("container_hugetlb_failcnt")
        .help("Times that the limit on huge pages was hit. Only with cgroup.hugetlb = true.")
        .source("v2 hugetlb.SIZE.events max; v1 hugetlb.SIZE.failcnt")
        .labels(&["pagesize"])
        .cadvisor(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.failcnt))),
    Family::gauge("container_memory_numa_pages")
        .help(
            "Pages of memory on a NUMA node. Scope hierarchy is with descendants, and all that cgroup \
               v2 tells. Only with cgroup.numa = true.",
        )
        .source("memory.numa_stat; v2 gives bytes, here by the size of a page")
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
