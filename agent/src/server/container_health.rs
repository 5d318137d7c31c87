//! Liveness of one container: `/healthz/container/NAME`. NAME is the label `container`, or `namespace/pod/container` in
//! Kubernetes. It is only compared and never part of a response.
//!
//! Only a stuck container gets 503. If the agent does not know, for example because its data is old, the response is 200:
//! otherwise, a liveness probe would restart healthy containers.

use axum::http::StatusCode;

use crate::snapshot::{ContainerRow, Snapshot, health::WorkHealth};

/// The beginning of the path.
pub(super) const PREFIX: &str = "/healthz/container/";
/// The route.
pub(super) const ROUTE: &str = "/healthz/container/{*name}";

/// The status and the text for a container.
pub(super) fn answer(snapshot: &Snapshot, name: &str) -> (StatusCode, String) {
    match named(snapshot, name)[..] {
        [] => (StatusCode::NOT_FOUND, "no running container has this name".into()),
        [row] => match row.health {
            None => (StatusCode::OK, "unknown: no requests of this container are counted".into()),
            Some(WorkHealth::Stuck { reason, since }) => {
                let text = format!("stuck for {} s: {} ({})", since.as_secs(), reason.words(), reason.name());
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Some(health) => (StatusCode::OK, health.state().into()),
        },
        _ => {
            (StatusCode::OK, "unknown: several containers have this name; use NAMESPACE/POD/CONTAINER".into())
        }
    }
}

/// The running containers with this name. In Kubernetes, this is the full name, or else the display name.
fn named<'a>(snapshot: &'a Snapshot, name: &str) -> Vec<&'a ContainerRow> {
    let all = || snapshot.containers.iter().filter(|row| row.owns_name && row.is_running());
    match all().find(|row| row.identity.full_name() == name) {
        Some(row) => vec![row],
        None => all().filter(|row| row.identity.container == name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::snapshot::{Delivery, agent::AgentUsage, health::StuckReason, host::Host, identity::Identity};

    fn row(container: &str, pod: Option<&str>, health: Option<WorkHealth>) -> ContainerRow {
        let identity = Identity {
            container: container.into(),
            namespace: pod.map(|_| "prod".into()),
            pod: pod.map(str::to_owned),
            ..Identity::default()
        };
        let mut row = ContainerRow::new(Arc::new(identity), std::time::SystemTime::UNIX_EPOCH);
        row.health = health;
        row
    }

    fn snapshot(containers: Vec<ContainerRow>) -> Snapshot {
        Snapshot {
            delivery: Delivery::default(),
            taken_at: std::time::SystemTime::UNIX_EPOCH,
            containers,
            host: Host::default(),
            agent: AgentUsage::default(),
        }
    }

    #[test]
    fn only_a_stuck_container_fails_its_probe() {
        let stuck = WorkHealth::Stuck { reason: StuckReason::Disk, since: Duration::from_millis(12_700) };
        let snapshot = snapshot(vec![
            row("stuck", None, Some(stuck)),
            row("idle", None, Some(WorkHealth::Idle)),
            row("working", None, Some(WorkHealth::Working)),
            row("unknown", None, None),
        ]);
        let of = |name| {
            let (status, text) = answer(&snapshot, name);
            (status.as_u16(), text)
        };
        assert_eq!(of("stuck"), (503, "stuck for 12 s: blocked on disk (disk)".into()));
        assert_eq!(of("idle"), (200, "idle".into()));
        assert_eq!(of("working"), (200, "working".into()));
        assert_eq!(of("unknown").0, 200);
        assert_eq!(of("none").0, 404);
        assert_eq!(of("").0, 404);
    }

    #[test]
    fn a_container_of_a_pod_has_a_full_name_and_a_short_one_if_it_is_unique() {
        let (idle, working) = (Some(WorkHealth::Idle), Some(WorkHealth::Working));
        let mut ended = row("web", Some("c"), idle);
        ended.ended_at = Some(std::time::SystemTime::UNIX_EPOCH);
        let snapshot = snapshot(vec![
            row("web", Some("a"), idle),
            row("web", Some("b"), working),
            row("db", Some("a"), idle),
            ended,
        ]);
        let of = |name| answer(&snapshot, name).1;
        assert_eq!([of("prod/a/web"), of("prod/b/web"), of("db")], ["idle", "working", "idle"]);
        let (status, text) = answer(&snapshot, "web");
        assert!(status == StatusCode::OK && text.contains("several"), "{status} {text}");
        assert_eq!(answer(&snapshot, "prod/c/web").0, StatusCode::NOT_FOUND);
    }
}
