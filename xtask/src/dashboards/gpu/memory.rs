//! GPU memory by container.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{GPU, promql},
};

pub(super) fn row() -> Row {
    Row {
        title: "GPU memory", collectors: "nvml",
        panels: vec![
            Panel::lines(
                "GPU memory by container",
                "bytes",
                "Device memory allocated by the container's processes. The dashed line is the total memory of the GPU.",
            )
            .size(10, 9)
            .dashed("/^total of /")
            .query(
                "{{container}} {{pod}} on GPU {{gpu}}",
                &promql(
                    "sum by (instance, namespace, pod, container, gpu) \
                     (glassbox_container_gpu_memory_used_bytes{HOLDERS})",
                ),
            )
            .query("total of {{instance}} GPU {{gpu}}", &promql("max DEVICE (glassbox_gpu_memory_total_bytes{GPUS})")),
            Panel::lines(
                "GPU memory usage",
                "percentunit",
                "Allocated memory / total memory, over all processes. The peak is the maximum in 15 s, so that allocations \
                 between two scrapes are visible.",
            )
            .size(7, 9)
            .up_to(1.0)
            .limits(NEARLY_FULL)
            .query(
                GPU,
                &promql(
                    "max DEVICE (glassbox_gpu_memory_used_bytes{GPUS}) \
                     / max DEVICE (glassbox_gpu_memory_total_bytes{GPUS})",
                ),
            )
            .query(
                "{{instance}} GPU {{gpu}} peak",
                &promql(
                    "max DEVICE (glassbox_gpu_memory_used_max_bytes{GPUS}) \
                     / max DEVICE (glassbox_gpu_memory_total_bytes{GPUS})",
                ),
            ),
            Panel::lines(
                "GPU memory of other processes",
                "bytes",
                "Memory allocated by other containers, by host processes, or by processes for which NVML reports no memory.",
            )
            .size(7, 9)
            .query(
                GPU,
                &promql(
                    "max DEVICE (glassbox_gpu_memory_used_bytes{GPUS}) \
                     - (sum DEVICE (glassbox_container_gpu_memory_used_bytes{HOLDERS}) \
                     or 0 * max DEVICE (glassbox_gpu_memory_used_bytes{GPUS}))",
                ),
            ),
        ],
    }
}
