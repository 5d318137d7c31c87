//! GPUs: for somebody whose containers are in trouble on them. The first rows are questions, each answered at a
//! glance; the details follow.

mod completeness;
mod device;
mod driver;
mod failures;
mod memory;
mod state;
mod time;

use serde_json::Value;

use super::board::{Board, variable};

pub(super) fn dashboard() -> Value {
    let board = Board {
        name: "gpu",
        description: "What containers do with their GPUs, and what fails.",
        variables: vec![
            variable("gpu", "GPU", r#"glassbox_gpu_info{job=~"$job", instance=~"$instance"}"#),
            // Those that have called the driver, or that NVML sees.
            variable(
                "container",
                "Container",
                r#"{__name__=~"glassbox_nvidia_ioctls_total|glassbox_container_gpu_processes", job=~"$job", instance=~"$instance"}"#,
            ),
        ],
        rows: vec![
            state::row(),
            memory::row(),
            time::row(),
            failures::row(),
            driver::row(),
            device::row(),
            completeness::row(),
        ],
    };
    board.json()
}
