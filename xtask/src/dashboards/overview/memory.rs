//! Memory, and how near it is to its limit.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, promql},
};

/// The row.
pub(super) fn row() -> Row {
    Row {
        title: "Memory",
        panels: vec![
            Panel::lines(
                "Working set and limit",
                "bytes",
                "Memory that cannot be reclaimed easily, and as a dashed line what the container may use.",
            )
            .size(8, 8)
            .dashed("/^limit of /")
            .query(CONTAINER, &promql("sum EACH (container_memory_working_set_bytes{CONTAINERS}) ALIVE"))
            .query(
                "limit of {{container}} {{pod}}",
                &promql("max EACH (container_spec_memory_limit_bytes{CONTAINERS} > 0) ALIVE"),
            ),
            Panel::lines(
                "Working set, of its limit",
                "percentunit",
                "At 100 % the kernel ends a process of the container. Only containers with a limit.",
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
                "What it is made of",
                "bytes",
                "Anonymous memory is the program's own; page cache are files, and most of it can be dropped.",
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
