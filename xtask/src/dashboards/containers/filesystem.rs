//! Block I/O and disk usage.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::promql,
};

pub(super) fn row() -> Row {
    let rate = |name: &str| {
        promql(&format!(
            "sum by (instance, namespace, pod, container, device) \
             (rate(container_fs_{name}_total{{CONTAINERS}}[$__rate_interval]))"
        ))
    };
    const DEVICE: &str = "{{container}} {{pod}} {{device}}";
    Row {
        title: "Block I/O and disk usage", collectors: "cgroup, disk",
        panels: vec![
            Panel::lines(
                "Bytes read",
                "Bps",
                "Bytes read from block devices per second, without reads served from the page cache. Not available on \
                 cgroup v1 with Linux 6.10 or newer.",
            )
            .size(6, 8)
            .query(DEVICE, &rate("reads_bytes")),
            Panel::lines(
                "Bytes written",
                "Bps",
                "Bytes written to block devices per second. On cgroup v1, writeback from the page cache is not \
                 attributed to a container.",
            )
            .size(6, 8)
            .query(DEVICE, &rate("writes_bytes")),
            Panel::lines("I/O requests", "iops", "Read and write requests per second.")
                .size(6, 8)
                .query(&format!("{DEVICE} reads"), &rate("reads"))
                .query(&format!("{DEVICE} writes"), &rate("writes")),
            Panel::lines(
                "Disk usage",
                "bytes",
                "Size of the files written by each container, without its image and volumes. Docker containers \
                 without a quota are shown only if disk.walk is on.",
            )
            .size(6, 8)
            .query(
                "{{container}} {{pod}}",
                &promql(
                    "sum by (instance, namespace, pod, container) (container_fs_usage_bytes{CONTAINERS})",
                ),
            ),
        ],
    }
}
