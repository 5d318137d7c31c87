//! What containers read from block devices and write to them, and the space that their files take.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::promql,
};

/// The row.
pub(super) fn row() -> Row {
    let rate = |name: &str| {
        promql(&format!(
            "sum by (instance, namespace, pod, container, device) \
             (rate(container_fs_{name}_total{{CONTAINERS}}[$__rate_interval]))"
        ))
    };
    const DEVICE: &str = "{{container}} {{pod}} {{device}}";
    Row {
        title: "Block I/O and disk space",
        panels: vec![
            Panel::lines(
                "Read",
                "Bps",
                "Bytes per second from block devices; what the page cache has costs none. Nothing is shown on cgroup v1 \
                 with Linux 6.10 or newer, which no longer counts there.",
            )
            .size(6, 8)
            .query(DEVICE, &rate("reads_bytes")),
            Panel::lines(
                "Written",
                "Bps",
                "Bytes per second to block devices. On cgroup v1, what the page cache writes back later is nobody's.",
            )
            .size(6, 8)
            .query(DEVICE, &rate("writes_bytes")),
            Panel::lines("Requests", "iops", "Reads and writes per second.")
                .size(6, 8)
                .query(&format!("{DEVICE} reads"), &rate("reads"))
                .query(&format!("{DEVICE} writes"), &rate("writes")),
            Panel::lines(
                "Disk space",
                "bytes",
                "What the files written by each container take, its image and its volumes left out. \
                 Docker's containers without a quota are shown where disk.walk is on.",
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
