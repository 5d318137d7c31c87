//! The requests to a Kubernetes runtime, and the conversion of its responses to entries of the metadata store.

use std::{
    collections::{HashMap, HashSet},
    time::SystemTime,
};

use anyhow::Context as _;
use prost::Message as _;

use super::{
    CriApi,
    messages::{
        CONTAINER_STATUS, Container, ContainerEventResponse, ContainerStatus, ContainerStatusRequest,
        ContainerStatusResponse, DELETED, LIST_CONTAINERS, LIST_POD_SANDBOX, ListContainersResponse,
        ListPodSandboxResponse, Nothing, VERSION, VersionRequest, VersionResponse,
    },
    names::{SANDBOX, container_names, sandbox_names, time_of},
    status,
};
use crate::{
    containers::{
        grpc::{Client, is_unimplemented},
        metadata::{Metadata, TOMBSTONE_TTL},
        recheck::Query,
        watcher::{RuntimeWatcher, Unsupported},
    },
    snapshot::lifecycle::ContainerState,
};

impl RuntimeWatcher<CriApi> {
    /// Sends a small request, to check that the runtime supports CRI.
    pub(super) async fn greet(&self, client: &Client) -> anyhow::Result<()> {
        let request = VersionRequest { version: "v1".to_owned() };
        match self.answer(client.ask::<_, VersionResponse>(VERSION, request)).await {
            Ok(_) => Ok(()),
            Err(error) if is_unimplemented(&error) => Err(Unsupported.into()),
            Err(error) => {
                Err(error).with_context(|| format!("request the version of {}", self.source.runtime.as_str()))
            }
        }
    }

    /// Adds all sandboxes and containers of pods. Returns the containers for which the listing lacks data, so that they
    /// need a query, and whether each has exited.
    pub(super) async fn list(&self, client: &Client) -> anyhow::Result<Vec<(String, bool)>> {
        let name = self.source.runtime.as_str();
        let sandboxes = client.ask::<_, ListPodSandboxResponse>(LIST_POD_SANDBOX, Nothing {});
        let sandboxes = self.answer(sandboxes).await;
        let sandboxes = sandboxes.with_context(|| format!("list {name} pods"))?.items;
        let containers = client.ask::<_, ListContainersResponse>(LIST_CONTAINERS, Nothing {});
        let containers = self.answer(containers).await;
        let containers = containers.with_context(|| format!("list {name} containers"))?.items;

        let mut pods = HashMap::new();
        let mut listed = HashSet::new();
        for sandbox in sandboxes {
            let metadata = sandbox.metadata.unwrap_or_default();
            let (created_at, labels) = (sandbox.created_at, &sandbox.labels);
            let mut names = sandbox_names(self.source, &self.label_filter, &metadata, labels, created_at);
            names.status = self.metadata.status(&sandbox.id).unwrap_or_default();
            status::sandbox(&mut names.status, sandbox.state, created_at, metadata.attempt);
            self.put(&sandbox.id, names);
            listed.insert(sandbox.id.clone());
            pods.insert(sandbox.id, metadata);
        }
        let mut unclear = Vec::new();
        for container in containers {
            let pod = pods.get(&container.pod_sandbox_id);
            let Container { id, metadata, image, labels, state, created_at, .. } = container;
            let (metadata, filter) = (metadata.unwrap_or_default(), &self.label_filter);
            let mut names = container_names(self.source, filter, &metadata, image, pod, &labels);
            // Keep what was known before, because a listing contains less.
            let known = self.metadata.get(&id);
            names.started_at = known.as_ref().and_then(|known| known.started_at);
            names.status = known.as_ref().map(|known| known.status).unwrap_or_default();
            status::listed(&mut names.status, state, created_at, metadata.attempt);
            let ended = names.status.state == Some(ContainerState::Exited);
            // Containers that exited long before are not shown.
            let shown = known.is_some() || names.status.created_at.is_some_and(is_recent);
            if (ended && shown && status::needs_query(&names.status, true))
                || (!ended && names.started_at.is_none())
            {
                unclear.push((id.clone(), ended));
            }
            self.put(&id, names);
            listed.insert(id);
        }
        self.metadata.retain(self.source, |id| listed.contains(id));
        Ok(unclear)
    }

    /// Queries one container, and returns the query.
    pub(super) async fn ask(&self, client: &Client, question: Query) -> Query {
        if self.is_container(&question.id) && self.needs_query(&question) {
            let request = ContainerStatusRequest { container_id: question.id.clone() };
            let answer = client.ask::<_, ContainerStatusResponse>(CONTAINER_STATUS, request);
            // If the query fails, the container has usually been removed.
            if let Ok(ContainerStatusResponse { status: Some(status) }) = self.answer(answer).await {
                if let Some(started_at) = time_of(status.started_at) {
                    self.metadata.set_started_at(&question.id, started_at);
                }
                self.metadata.update_status(&question.id, |known| status::apply(known, &status));
            }
        }
        question
    }

    /// True if the container's data still lacks what the query is for.
    pub(super) fn needs_query(&self, question: &Query) -> bool {
        let known = self.metadata.get(&question.id);
        known.is_some_and(|known| {
            status::needs_query(&known.status, question.about_exit)
                || (!question.about_exit && known.started_at.is_none())
        })
    }

    /// True for a container that this runtime reported. The exit of a sandbox cannot be queried.
    pub(super) fn is_container(&self, id: &str) -> bool {
        let known = self.metadata.get(id).filter(|known| known.source == self.source);
        known.is_some_and(|known| known.kubernetes_container.as_deref() != Some(SANDBOX))
    }

    pub(super) fn apply(&self, event: ContainerEventResponse) {
        let id = &event.container_id;
        if event.container_event_type == DELETED {
            if self.metadata.is_reported_by(self.source, id) {
                self.metadata.remove(id);
            }
            return;
        }
        let pod = event.pod_sandbox_status.unwrap_or_default();
        let metadata = pod.metadata.unwrap_or_default();
        let known = self.metadata.get(id);
        let known_life = known.as_ref().map(|known| known.status).unwrap_or_default();
        if pod.id == *id {
            let mut names =
                sandbox_names(self.source, &self.label_filter, &metadata, &pod.labels, pod.created_at);
            names.status = known_life;
            status::sandbox(&mut names.status, pod.state, pod.created_at, metadata.attempt);
            return self.put(id, names);
        }
        let statuses = event.containers_statuses.iter();
        let mut statuses = statuses.filter_map(|status| ContainerStatus::decode(status.as_slice()).ok());
        let status = statuses.find(|status| status.id == *id);
        let Some(mut status) = status else { return };
        let (image, container) = (status.image.take(), status.metadata.clone().unwrap_or_default());
        let filter = &self.label_filter;
        let mut names =
            container_names(self.source, filter, &container, image, Some(&metadata), &status.labels);
        names.started_at = time_of(status.started_at).or_else(|| known.and_then(|known| known.started_at));
        names.status = known_life;
        status::apply(&mut names.status, &status);
        self.put(id, names);
    }

    /// Adds an entry. If nothing or only the status has changed, readers do not have to update names.
    fn put(&self, id: &str, names: Metadata) {
        let known = self.metadata.get(id).filter(|_| self.metadata.is_present(id));
        match known {
            _ if id.is_empty() => {}
            Some(known) if (Metadata { status: known.status, ..names.clone() }) == known => {
                self.metadata.update_status(id, |known| *known = names.status);
            }
            _ => self.metadata.put(id, names),
        }
    }
}

/// True if the container was created so recently that its exit may still be shown. Uses the runtime's timestamp,
/// because there is no other one. A timestamp in the future, from before the clock was set back, counts as recent.
#[expect(
    clippy::disallowed_methods,
    reason = "only the runtime has the creation time, and it is a wall-clock timestamp"
)]
fn is_recent(created_at: SystemTime) -> bool {
    created_at.elapsed().map_or(true, |age| age < TOMBSTONE_TTL)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_container_created_before_the_clock_was_set_back_is_recent() {
        let now = SystemTime::now();
        let created = [now + Duration::from_secs(3600), now - TOMBSTONE_TTL / 2, now - TOMBSTONE_TTL * 2];
        assert_eq!(created.map(is_recent), [true, true, false]);
    }
}
