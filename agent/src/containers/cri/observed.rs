//! What the agent itself observes from cgroups: containers that no runtime has reported yet, and containers that
//! exited.

use std::{future::pending, sync::Arc};

use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use crate::containers::metadata::{Discoveries, MetadataStore};

/// One observation.
pub(super) enum Observation {
    /// A container that no runtime has reported yet and that a Kubernetes runtime may have.
    Discovery,
    /// The container with this ID exited.
    Exit(Arc<str>),
    /// Containers exited faster than their exits were received; their IDs are lost.
    MissedExits,
}

/// The observations since [`subscribe`](Self::subscribe).
pub(super) struct Observations {
    discoveries: watch::Receiver<Discoveries>,
    /// The count at the last discovery that was returned.
    seen: u64,
    exits: broadcast::Receiver<Arc<str>>,
}

impl Observations {
    pub(super) fn subscribe(metadata: &MetadataStore) -> Self {
        let discoveries = metadata.discoveries();
        let seen = discoveries.borrow().kubernetes;
        Self { discoveries, seen, exits: metadata.exits() }
    }

    /// Waits for the next observation. Several discoveries are merged into one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Observation {
        tokio::select! {
            seen = discovery(&mut self.discoveries, self.seen) => {
                self.seen = seen;
                Observation::Discovery
            }
            observation = exit(&mut self.exits) => observation,
        }
    }
}

/// Waits until the count differs from `seen`, and returns it.
async fn discovery(discoveries: &mut watch::Receiver<Discoveries>, seen: u64) -> u64 {
    match discoveries.wait_for(|now| now.kubernetes != seen).await.map(|now| now.kubernetes) {
        Ok(now) => now,
        // The sender belongs to the metadata store, which outlives every connection.
        Err(_) => pending().await,
    }
}

async fn exit(exits: &mut broadcast::Receiver<Arc<str>>) -> Observation {
    match exits.recv().await {
        Ok(id) => Observation::Exit(id),
        Err(RecvError::Lagged(_)) => Observation::MissedExits,
        Err(RecvError::Closed) => pending().await,
    }
}
