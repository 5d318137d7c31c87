//! Exits: containers with removed cgroups, for the clients that can query how these ended.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::Directory;

/// Maximum queue length per receiver. A receiver that falls behind gets the number of lost exits.
const WAITING_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Endings(broadcast::Sender<Arc<str>>);

impl Default for Endings {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING_MAX))
    }
}

impl Endings {
    pub(super) fn tell(&self, id: &str) {
        if self.0.receiver_count() > 0 {
            // Fails if the last receiver was dropped meanwhile.
            let _ = self.0.send(Arc::from(id));
        }
    }
}

impl Directory {
    /// The IDs of containers that end from now on, of those that a runtime reports.
    #[must_use]
    pub fn endings(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.endings.0.subscribe()
    }
}
