//! The dashboard "gpu", to find out why containers have trouble with GPUs: state, memory, time and failures first, then
//! details.

mod completeness;
mod device;
mod driver;
mod failures;
mod memory;
mod state;
mod time;

use super::board::{Board, containers, variable};

pub(super) fn dashboard() -> Board {
    Board {
        name: "gpu",
        title: "glassbox: GPU",
        description: "GPU usage and GPU failures by container.",
        variables: vec![
            variable("gpu", "GPU", r#"glassbox_gpu_info{job=~"$job", instance=~"$instance"}"#),
            containers(),
        ],
        annotations: Vec::new(),
        rows: vec![
            state::row(),
            memory::row(),
            time::row(),
            failures::row(),
            driver::row(),
            device::row(),
            completeness::row(),
        ],
    }
}
