//! Whether containers make progress with their work, and how their time with work in flight was spent.

use crate::{
    exposition::family::Family,
    snapshot::{health::WorkHealth, work::Activity},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("glassbox_container_work_seconds_total")
        .help(
            "Wall time with requests or Gradio jobs in flight, in seconds, by what it was spent on. The sum over \
             `activity` is the wall time. docs/requests.md has the definitions.",
        )
        .source("requests, threads, scheduler, cgroup, nvidia_driver and NVML, each tick")
        .labels(&["activity"])
        .container(|row, emit| {
            for activity in Activity::ALL {
                emit.with(&[activity.name()]).time(row.work_time.map(|time| time.of(activity)));
            }
        }),
    Family::gauge("glassbox_container_health")
        .help(
            "Health of the container: 1 for the current state, 0 for all others. `reason` is what blocks a \
             stuck container, and otherwise `none`. Absent without a watched port, unless a call to the NVIDIA \
             driver hangs. docs/requests.md has the conditions.",
        )
        .source("requests, threads, scheduler, cgroup, sockets and nvidia_driver, each tick")
        .labels(&["state", "reason"])
        .container(|row, emit| {
            let Some(health) = row.health else { return };
            for state in WorkHealth::STATES {
                let is_current = state == health.state();
                let reason = health.reason().filter(|_| is_current).map_or("none", |reason| reason.name());
                emit.with(&[state, reason]).count(u64::from(is_current));
            }
        }),
];
