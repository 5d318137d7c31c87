//! The dashboard "agent": whether the data is complete, and the cost of the agent.

mod completeness;
mod cost;

use super::board::Board;

pub(super) fn dashboard() -> Board {
    Board {
        name: "agent",
        title: "glassbox: agent",
        description: "Whether the other dashboards miss data, and the cost of the agent.",
        variables: Vec::new(),
        annotations: Vec::new(),
        rows: vec![completeness::row(), cost::row()],
    }
}
