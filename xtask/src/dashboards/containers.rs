//! The dashboard "containers": usage, requests and jobs of each container in detail.

mod cpu;
mod facefusion;
mod filesystem;
mod jobs;
mod lifecycle;
mod memory;
mod network;
mod programs;
mod requests;
mod sockets;
mod summary;
mod time;

use super::board::{Board, containers};

pub(super) fn dashboard() -> Board {
    Board {
        name: "containers",
        title: "glassbox: containers",
        description: "Usage, requests, jobs and stuck containers, in detail.",
        variables: vec![containers()],
        annotations: Vec::new(),
        rows: vec![
            summary::row(),
            lifecycle::row(),
            requests::row(),
            jobs::row(),
            facefusion::row(),
            time::row(),
            cpu::row(),
            memory::row(),
            filesystem::row(),
            network::row(),
            sockets::row(),
            programs::row(),
        ],
    }
}
