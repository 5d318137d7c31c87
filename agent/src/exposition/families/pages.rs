//! Huge pages, and pages by NUMA node: both off unless configured.

use crate::exposition::{
    Base, Emit, Family,
    Kind::{Counter, Gauge},
    Samples::Container,
};
use crate::snapshot::{ContainerRow, cgroup::HugePages};

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "container_hugetlb_usage_bytes",
        help: "Huge pages in use, in bytes. Only with cgroup.hugetlb = true.",
        source: "v2 hugetlb.SIZE.current; v1 hugetlb.SIZE.usage_in_bytes",
        samples: Container(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.usage_bytes))),
        ..HUGE
    },
    Family {
        name: "container_hugetlb_max_usage_bytes",
        help: "The most huge pages that were in use, in bytes. Only with cgroup.hugetlb = true.",
        source: "v1 hugetlb.SIZE.max_usage_in_bytes; v2 has none",
        samples: Container(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.max_usage_bytes))),
        ..HUGE
    },
    Family {
        name: "container_hugetlb_failcnt",
        kind: Counter,
        help: "Times that the limit on huge pages was hit. Only with cgroup.hugetlb = true.",
        source: "v2 hugetlb.SIZE.events max; v1 hugetlb.SIZE.failcnt",
        samples: Container(|row, emit| each_size(row, emit, |pages, emit| emit.count(pages.failcnt))),
        ..HUGE
    },
    Family {
        name: "container_memory_numa_pages",
        help: "Pages of memory on a NUMA node. Scope hierarchy is with descendants, and all that cgroup v2 tells. Only \
               with cgroup.numa = true.",
        source: "memory.numa_stat; v2 gives bytes, here by the size of a page",
        labels: &["type", "scope", "node"],
        samples: Container(|row, emit| {
            for pages in &row.cgroup.numa_pages {
                let mut node = itoa::Buffer::new();
                emit.with(&[pages.kind, pages.scope, node.format(pages.node)]).count(pages.pages);
            }
        }),
        ..HUGE
    },
];

/// What the families here have in common.
const HUGE: Family = Family {
    name: "",
    kind: Gauge,
    help: "",
    source: "",
    base: Base::CAdvisor,
    labels: &["pagesize"],
    samples: Container(|_, _| {}),
};

fn each_size(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&HugePages, &mut Emit<'_>)) {
    for pages in &row.cgroup.huge_pages {
        read(pages, &mut emit.with(&[pages.page_size]));
    }
}
