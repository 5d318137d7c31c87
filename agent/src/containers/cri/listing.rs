//! What is asked of a Kubernetes runtime, and how what it tells gets into the directory.

use std::{
    collections::{HashMap, HashSet},
    time::SystemTime,
};

use anyhow::Context as _;
use prost::Message as _;

use super::{
    CriApi, life,
    messages::{
        CONTAINER_STATUS, Container, ContainerEventResponse, ContainerStatus, ContainerStatusRequest,
        ContainerStatusResponse, DELETED, LIST_CONTAINERS, LIST_POD_SANDBOX, ListContainersResponse,
        ListPodSandboxResponse, Nothing, VERSION, VersionRequest, VersionResponse,
    },
    names::{SANDBOX, container_names, sandbox_names, time_of},
};
use crate::{
    containers::{
        directory::{LINGER, Names},
        due::Question,
        grpc::{Client, is_unimplemented},
        watcher::{NotOffered, Watcher},
    },
    snapshot::lifecycle::State,
};

impl Watcher<CriApi> {
    /// Asks something small: whether there is a runtime that speaks CRI.
    pub(super) async fn greet(&self, client: &Client) -> anyhow::Result<()> {
        let question = VersionRequest { version: "v1".to_owned() };
        match self.answer(client.ask::<_, VersionResponse>(VERSION, question)).await {
            Ok(_) => Ok(()),
            Err(error) if is_unimplemented(&error) => Err(NotOffered.into()),
            Err(error) => {
                Err(error).with_context(|| format!("ask {} for its version", self.source.runtime.as_str()))
            }
        }
    }

    /// Enters all pods' sandboxes and containers, and returns those to be asked about: of which a listing tells too little,
    /// each with whether it has ended.
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
            names.life = self.directory.life(&sandbox.id).unwrap_or_default();
            life::sandbox(&mut names.life, sandbox.state, created_at, metadata.attempt);
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
            // From before, and better than what a listing tells.
            let known = self.directory.get(&id);
            names.started_at = known.as_ref().and_then(|known| known.started_at);
            names.life = known.as_ref().map(|known| known.life).unwrap_or_default();
            life::listed(&mut names.life, state, created_at, metadata.attempt);
            let ended = names.life.state == Some(State::Exited);
            // Those that were there long before nobody shows.
            let shown = known.is_some() || names.life.created_at.is_some_and(is_recent);
            if (ended && shown && life::is_open(&names.life, true)) || (!ended && names.started_at.is_none())
            {
                unclear.push((id.clone(), ended));
            }
            self.put(&id, names);
            listed.insert(id);
        }
        self.directory.retain(self.source, |id| listed.contains(id));
        Ok(unclear)
    }

    /// Asks about one container, and returns the question.
    pub(super) async fn ask(&self, client: &Client, question: Question) -> Question {
        if self.is_container(&question.id) && self.is_open(&question) {
            let asked = ContainerStatusRequest { container_id: question.id.clone() };
            let answer = client.ask::<_, ContainerStatusResponse>(CONTAINER_STATUS, asked);
            // One that cannot be asked about has gone, as a rule.
            if let Ok(ContainerStatusResponse { status: Some(status) }) = self.answer(answer).await {
                if let Some(started_at) = time_of(status.started_at) {
                    self.directory.set_started_at(&question.id, started_at);
                }
                self.directory.update_life(&question.id, |life| life::told(life, &status));
            }
        }
        question
    }

    /// True where the answer to a question has not been learned.
    pub(super) fn is_open(&self, question: &Question) -> bool {
        let known = self.directory.get(&question.id);
        known.is_some_and(|known| {
            life::is_open(&known.life, question.of_end) || (!question.of_end && known.started_at.is_none())
        })
    }

    /// True for a container that this runtime told of. Of a sandbox it does not tell how it ended.
    pub(super) fn is_container(&self, id: &str) -> bool {
        let known = self.directory.get(id).filter(|known| known.source == self.source);
        known.is_some_and(|known| known.kubernetes_container.as_deref() != Some(SANDBOX))
    }

    pub(super) fn apply(&self, event: ContainerEventResponse) {
        let id = &event.container_id;
        if event.container_event_type == DELETED {
            if self.directory.is_told_by(self.source, id) {
                self.directory.remove(id);
            }
            return;
        }
        let pod = event.pod_sandbox_status.unwrap_or_default();
        let metadata = pod.metadata.unwrap_or_default();
        let known = self.directory.get(id);
        let known_life = known.as_ref().map(|known| known.life).unwrap_or_default();
        if pod.id == *id {
            let mut names =
                sandbox_names(self.source, &self.label_filter, &metadata, &pod.labels, pod.created_at);
            names.life = known_life;
            life::sandbox(&mut names.life, pod.state, pod.created_at, metadata.attempt);
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
        names.life = known_life;
        life::told(&mut names.life, &status);
        self.put(id, names);
    }

    /// Spares the readers a change that is none, or only one of its life.
    fn put(&self, id: &str, names: Names) {
        let known = self.directory.get(id).filter(|_| self.directory.is_present(id));
        match known {
            _ if id.is_empty() => {}
            Some(known) if (Names { life: known.life, ..names.clone() }) == known => {
                self.directory.update_life(id, |life| *life = names.life);
            }
            _ => self.directory.put(id, names),
        }
    }
}

/// Made so lately that its end may still be shown. By the runtime's timestamp, the only one there is; one in the future, from
/// before the clock was set back, is recent.
#[expect(
    clippy::disallowed_methods,
    reason = "only the runtime knows when it was, and the runtime reports it by the wall clock"
)]
fn is_recent(created_at: SystemTime) -> bool {
    created_at.elapsed().map_or(true, |age| age < LINGER)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_made_before_the_clock_was_set_back_is_recent() {
        let now = SystemTime::now();
        let made = [now + Duration::from_secs(3600), now - LINGER / 2, now - LINGER * 2];
        assert_eq!(made.map(is_recent), [true, true, false]);
    }
}
