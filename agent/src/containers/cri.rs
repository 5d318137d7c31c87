//! Metadata and lifecycle of Kubernetes containers, from the container runtime interface (CRI v1) of containerd and
//! CRI-O: one listing at the start, then the event stream of runtimes that have one (containerd from 1.7, CRI-O from
//! 1.26). Without events, or when an event was lost, a container that the agent discovers from its cgroup leads to
//! further listings (see [`schedule`]), and a cgroup that disappears leads to a query for the exit of its container. A
//! listing contains neither start times nor exit codes, so each container is queried once after a change.
//!
//! From containerd, this covers only the Kubernetes plugin; see [`containerd`](super::containerd) for its other
//! containers. Every response is bounded in size and in time, see [`grpc`](super::grpc).

pub mod disk;
mod listing;
mod messages;
mod names;
mod observed;
mod schedule;
mod session;
mod status;

use std::convert::Infallible;

use self::{observed::Observations, session::Session};
use super::{
    grpc::Client,
    watcher::{RuntimeClient, RuntimeWatcher},
};

/// Kubernetes' container runtime interface.
pub enum CriApi {}

impl RuntimeClient for RuntimeWatcher<CriApi> {
    async fn follow(&self) -> anyhow::Result<Infallible> {
        // Subscribe before the listing, so that no observation is missed in between.
        let observations = Observations::subscribe(&self.metadata);
        let (client, guard) = self.answer(Client::connect(&self.socket)).await?;
        self.greet(&client).await?;
        Session::open(self, &client, guard, observations).await?.run().await
    }
}

#[cfg(test)]
mod tests;
