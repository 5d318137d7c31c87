//! Applies a configuration that was read again, between two ticks.

use std::time::SystemTime;

use tokio::sync::watch;

use super::Engine;
use crate::{config::Config, snapshot::agent::ConfigStatus};

/// A configuration, and whether it is the one in the file.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The configuration in force.
    pub config: Config,
    /// Its status.
    pub status: ConfigStatus,
}

impl Configured {
    /// The configuration that was read at the start.
    #[must_use]
    pub fn at_start(config: Config) -> Self {
        let status = ConfigStatus { last_load_succeeded: true, loaded_at: SystemTime::now() };
        Self { config, status }
    }
}

impl Engine {
    /// Applies each configuration from `changes` before the next tick. Only the keys of
    /// [`Config::adopt`] may differ from the configuration in force.
    pub fn follow(&mut self, changes: watch::Receiver<Configured>) {
        self.changes = Some(changes);
    }

    pub(super) fn apply_changes(&mut self) {
        // An error means that there is no sender any more, so there are no changes.
        let Some(changes) = self.changes.as_mut().filter(|changes| changes.has_changed().unwrap_or(false))
        else {
            return;
        };
        let Configured { config, status } = changes.borrow_and_update().clone();
        self.config_status = status;
        self.tracker.configure(&config.containers.rename, *config.containers.keep_ended_s);
        self.analysis.configure(&config);
        for running in &mut self.collectors {
            running.with(|collector| collector.configure(&config));
        }
        self.config = config;
    }
}
