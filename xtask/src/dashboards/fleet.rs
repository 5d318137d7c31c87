//! The dashboard "fleet": many hosts, one row each.

mod hosts;
mod trends;

use super::board::Board;

pub(super) fn dashboard() -> Board {
    Board {
        name: "fleet",
        title: "glassbox: fleet",
        description: "All hosts with an agent. The dashboards of containers and GPUs have the details of a host.",
        variables: Vec::new(),
        annotations: Vec::new(),
        rows: vec![hosts::row(), trends::row()],
    }
}
