//! That a container is there: since when, until when, under which names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Base, Family, Kind::Gauge, Samples::Container};
use crate::containers::cgroup;

/// The families.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "container_last_seen",
        kind: Gauge,
        help: "When the container was last seen alive, in whole seconds since 1970.",
        source: "the agent's clock at the last tick at which the cgroup was there",
        base: Base::Labelled,
        labels: &[],
        samples: Container(|row, emit| emit.count(unix_seconds(row.last_seen))),
    },
    Family {
        name: "container_start_time_seconds",
        kind: Gauge,
        help: "When the container was started, in whole seconds since 1970.",
        source: "the runtime, else when the cgroup was made",
        base: Base::Labelled,
        labels: &[],
        samples: Container(|row, emit| emit.count(row.identity.started_at.map(unix_seconds))),
    },
    Family {
        name: "glassbox_container_info",
        kind: Gauge,
        help: "Always 1; its labels are all that is known of who the container is. `parent_id` is there where \
               it runs in another container: the id of that.",
        source: "the cgroup path and the runtime",
        base: Base::Labelled,
        labels: &["runtime", "parent_id"],
        samples: Container(|row, emit| {
            let runtime = row.identity.runtime.as_str();
            match cgroup::container_around(&row.identity.cgroup_path) {
                Some(outer) => emit.with(&[runtime, outer.id]).count(1),
                None => emit.with(&[runtime]).count(1),
            }
        }),
    },
    Family {
        name: "glassbox_container_running",
        kind: Gauge,
        help: "1 while the container lives; 0 while the final counters of one that ended are kept.",
        source: "whether its cgroup is there",
        base: Base::Container,
        labels: &[],
        samples: Container(|row, emit| emit.count(u64::from(row.ended_at.is_none()))),
    },
];

/// cAdvisor gives whole seconds, too: they compress far better than fractions that nobody reads.
fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
