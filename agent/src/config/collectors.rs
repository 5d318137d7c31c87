//! The names of the collectors, by which the configuration switches them.

use serde::{Deserialize, Deserializer, de::Error as _};

/// Every collector: a test compares this list with [`crate::collectors::COLLECTORS`], which has what they do.
pub const COLLECTOR_NAMES: [&str; 9] =
    ["cgroup", "machine", "network", "host_network", "disk", "oom", "scheduler", "nvidia_driver", "nvml"];

/// One of [`COLLECTOR_NAMES`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CollectorName(pub(super) &'static str);

impl<'de> Deserialize<'de> for CollectorName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        COLLECTOR_NAMES.into_iter().find(|known| *known == name).map(Self).ok_or_else(|| {
            let names = COLLECTOR_NAMES.map(|known| format!("`{known}`")).join(", ");
            D::Error::custom(format!("unknown collector `{name}`, expected one of {names}"))
        })
    }
}
