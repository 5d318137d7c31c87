//! Memory usage and limits.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, promql},
};

const MEMORY: &str = "{{container}} {{pod}} {{memory}}";

pub(super) fn row() -> Row {
    Row {
        title: "Memory", collectors: "cgroup, nvml",
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
            of_floors(
                "Memory between jobs",
                "Least memory that the container held since its last job: on the GPU, on the host, and as granted by the driver. \
                 If it grows from job to job, memory leaks.",
                "floor_bytes",
            ),
            of_floors(
                "Growth per job",
                "Growth of the least memory between jobs, per job. Absent until nine jobs have ended. The alert \
                 ContainerMemoryLeak has further conditions.",
                "bytes_per_job",
            ),
            Panel::lines(
                "Time until memory is full",
                "s",
                "Time until the GPU or the memory limit is full if a suspected leak continues. Empty without a suspected leak.",
            )
            .size(8, 8)
            .query(
                MEMORY,
                &promql("min by (instance, namespace, pod, container, memory) (glassbox_container_memory_leak_seconds_to_full{CONTAINERS})"),
            ),
        ],
    }
}

/// A graph of a gauge of memory between jobs.
fn of_floors(title: &str, description: &str, gauge: &str) -> Panel {
    let query = format!(
        "max by (instance, namespace, pod, container, memory) (glassbox_container_memory_leak_{gauge}{{CONTAINERS}})"
    );
    Panel::lines(title, "bytes", description).size(8, 8).query(MEMORY, &promql(&query))
}
