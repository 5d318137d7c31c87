//! Exits: the IDs of containers that have exited, for clients that can query the exit.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::MetadataStore;

/// Maximum queue length per receiver. A receiver that falls behind gets the number of lost exits.
const WAITING_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Exits(broadcast::Sender<Arc<str>>);

impl Default for Exits {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING_MAX))
    }
}

impl Exits {
    pub(super) fn send(&self, id: &str) {
        if self.0.receiver_count() > 0 {
            // Fails if the last receiver was dropped meanwhile.
            let _ = self.0.send(Arc::from(id));
        }
    }
}

impl MetadataStore {
    /// Receives the IDs of reported containers that exit from now on.
    #[must_use]
    pub fn exits(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.exits.0.subscribe()
    }
}
