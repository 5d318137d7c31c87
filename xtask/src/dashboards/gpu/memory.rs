//! Who holds the memory of the GPUs.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{GPU, promql},
};

/// The row.
pub(super) fn row() -> Row {
    Row {
        title: "Who holds the GPU memory?",
        panels: vec![
            Panel::lines(
                "Held by each container",
                "bytes",
                "Device memory that its processes hold, and as a dashed line all that the GPU has.",
            )
            .size(10, 9)
            .dashed("/^all of /")
            .query(
                "{{container}} {{pod}} on GPU {{gpu}}",
                &promql(
                    "sum by (instance, namespace, pod, container, gpu) \
                     (glassbox_container_gpu_memory_used_bytes{HOLDERS})",
                ),
            )
            .query("all of {{instance}} GPU {{gpu}}", &promql("max DEVICE (glassbox_gpu_memory_total_bytes{GPUS})")),
            Panel::lines(
                "Allocated, of the GPU's memory",
                "percentunit",
                "By whomever. The peak is the most in 15 s, so what came and went between two scrapes is seen.",
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
                "Held by others",
                "bytes",
                "Allocated, but not by the containers selected: by others, by the host, or by processes whose \
                 memory NVML does not tell.",
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
