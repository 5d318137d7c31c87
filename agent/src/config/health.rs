//! `[health]`: when a container is stuck.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounded::Seconds;

/// `[health]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Time in which work waits for the server without progress after which a container is stuck.
    pub stuck_after_s: Seconds<2, 3_600>,
}

impl Default for Health {
    fn default() -> Self {
        Self { stuck_after_s: Duration::from_secs(10).into() }
    }
}
