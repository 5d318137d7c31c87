//! Memory usage and limits.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, promql},
};

pub(super) fn row() -> Row {
    Row {
        title: "Memory", collectors: "cgroup",
        panels: vec![
            Panel::lines(
                "Working set and limit",
                "bytes",
                "Memory that is not easily reclaimed. The dashed line is the memory limit.",
            )
            .size(8, 8)
            .dashed("/^limit of /")
            .query(CONTAINER, &promql("sum EACH (container_memory_working_set_bytes{CONTAINERS}) ALIVE"))
            .query(
                "limit of {{container}} {{pod}}",
                &promql("max EACH (container_spec_memory_limit_bytes{CONTAINERS} > 0) ALIVE"),
            ),
            Panel::lines(
                "Working set / limit",
                "percentunit",
                "Near 100 % the kernel reclaims memory, then kills a process (OOM). Only containers with a limit.",
            )
            .size(8, 8)
            .up_to(1.0)
            .limits(NEARLY_FULL)
            .query(
                CONTAINER,
                &promql(
                    "max EACH (container_memory_working_set_bytes{CONTAINERS} \
                     / (container_spec_memory_limit_bytes{CONTAINERS} > 0)) ALIVE",
                ),
            ),
            Panel::lines(
                "Memory breakdown",
                "bytes",
                "Anonymous memory (heap, stacks) and page cache (file data, most of it reclaimable).",
            )
            .size(8, 8)
            .query(
                "{{container}} {{pod}} anonymous",
                &promql("sum EACH (container_memory_rss{CONTAINERS}) ALIVE"),
            )
            .query(
                "{{container}} {{pod}} page cache",
                &promql("sum EACH (container_memory_cache{CONTAINERS}) ALIVE"),
            ),
        ],
    }
}
