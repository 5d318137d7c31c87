//! The dashboard "scheduler": waits of containers for CPUs, memory and block devices.

mod latency;
mod pressure;

use super::board::{Board, containers};

pub(super) fn dashboard() -> Board {
    Board {
        name: "scheduler",
        title: "glassbox: scheduler and pressure",
        description: "How long containers wait for CPUs, memory and block devices.",
        variables: vec![containers()],
        annotations: Vec::new(),
        rows: vec![latency::row(), pressure::row()],
    }
}
