//! `[containers]`: how many containers are counted, how long ended ones are kept, names and labels.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    bounded::{Bounded, Seconds},
    rename::{self, Rename},
};

/// `[containers]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Containers {
    /// Maximum number of containers with kernel counters.
    pub max: Bounded<u32, 1, 16_384>,
    /// How long the final counters of an ended container are exported.
    pub keep_ended_s: Seconds<0, 86_400>,
    /// Runtime labels that are exported: exact names, or a prefix followed by `*`.
    pub labels: Vec<String>,
    /// Rules for display names; the first match wins.
    #[serde(deserialize_with = "rename::rules")]
    pub rename: Vec<Rename>,
}

impl Default for Containers {
    fn default() -> Self {
        Self {
            max: 256.into(),
            keep_ended_s: Duration::from_secs(300).into(),
            labels: ["project", "service", "container-number", "project.working_dir"]
                .map(|name| format!("com.docker.compose.{name}"))
                .to_vec(),
            rename: Vec::new(),
        }
    }
}
