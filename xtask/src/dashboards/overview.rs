//! The dashboard "overview": what an operator of a service looks at first. Health, trends, network, and replicas compared.

mod annotations;
mod health;
mod network;
mod replicas;
mod trends;

use super::board::{Board, containers, logs};

pub(super) fn dashboard() -> Board {
    Board {
        name: "overview",
        title: "FaceFusion status overview",
        description: "Health and trends of each container, and replicas compared. For any service, not only FaceFusion.",
        variables: vec![containers(), logs()],
        annotations: annotations::all(),
        rows: vec![health::row(), trends::row(), network::row(), replicas::row()],
    }
}
