//! Containers whose cgroups have gone: for whoever can ask how they ended.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::Directory;

/// Most that may wait for one who asks; who falls behind learns how many were lost.
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
            // Fails where the last one has just gone.
            let _ = self.0.send(Arc::from(id));
        }
    }
}

impl Directory {
    /// The ids of containers that end from now on, of those that a runtime has told of.
    #[must_use]
    pub fn endings(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.endings.0.subscribe()
    }
}
