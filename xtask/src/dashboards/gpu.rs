//! The dashboard "gpu", to find out why containers have trouble with GPUs: state, memory, time and failures first, then
//! details.

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
        description: "GPU usage and GPU failures by container.",
        variables: vec![
            variable("gpu", "GPU", r#"glassbox_gpu_info{job=~"$job", instance=~"$instance"}"#),
            // Containers that have called the driver or have a process that NVML reports.
            variable(
                "container",
                "Container",
                r#"{__name__=~"glassbox_container_nvidia_ioctls_total|glassbox_container_gpu_processes", job=~"$job", instance=~"$instance"}"#,
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
