//! The dashboard "overview": all containers of the selected hosts, and the agent.

mod agent;
mod cpu;
mod filesystem;
mod health;
mod jobs;
mod lifecycle;
mod memory;
mod network;
mod pressure;
mod requests;
mod scheduler;
mod sockets;
mod summary;

use serde_json::Value;

use super::board::{Board, variable};

pub(super) fn dashboard() -> Value {
    let board = Board {
        name: "overview",
        description: "Usage, requests, jobs and stuck containers, and the cost of the agent.",
        variables: vec![variable(
            "container",
            "Container",
            r#"container_last_seen{job=~"$job", instance=~"$instance"}"#,
        )],
        rows: vec![
            summary::row(),
            lifecycle::row(),
            requests::row(),
            jobs::row(),
            health::row(),
            cpu::row(),
            memory::row(),
            pressure::row(),
            filesystem::row(),
            network::row(),
            sockets::row(),
            scheduler::row(),
            agent::row(),
        ],
    };
    board.json()
}
