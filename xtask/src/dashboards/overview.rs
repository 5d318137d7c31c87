//! The overview: every container of the hosts selected, and the agent that watches them.

mod agent;
mod cpu;
mod filesystem;
mod lifecycle;
mod memory;
mod network;
mod pressure;
mod scheduler;
mod summary;

use serde_json::Value;

use super::board::{Board, variable};

pub(super) fn dashboard() -> Value {
    let board = Board {
        name: "overview",
        description: "Containers as glassbox sees them, and what the agent itself costs.",
        variables: vec![variable(
            "container",
            "Container",
            r#"container_last_seen{job=~"$job", instance=~"$instance"}"#,
        )],
        rows: vec![
            summary::row(),
            lifecycle::row(),
            cpu::row(),
            memory::row(),
            pressure::row(),
            filesystem::row(),
            network::row(),
            scheduler::row(),
            agent::row(),
        ],
    };
    board.json()
}
