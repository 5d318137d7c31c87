//! Metadata and status of containerd's containers outside Kubernetes, such as those of nerdctl and `ctr`, from
//! containerd's own services. One listing of containers and one of tasks per namespace at the start, then one event
//! stream for all namespaces.
//!
//! An event contains the ID of a container but not its labels, so the watcher requests each new container once.
//! Kubernetes' namespace is left to [`cri`](super::cri), which has more metadata, and Docker's to
//! [`docker`](super::docker).
//!
//! A container ID is chosen by the client and is unique only within its namespace. If the cgroup path contains no ID by
//! which the agent would recognize a container, as with `ctr run IMAGE web`, the agent uses the cgroup path that
//! containerd reports. Every response is bounded in size and time, see [`grpc`](super::grpc).

mod messages;
mod spec;
mod status;

use std::{collections::HashSet, convert::Infallible, pin::pin, time::SystemTime};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tonic::Status;

use self::{
    messages::{
        About, Container, Envelope, Filtered, LIST_CONTAINERS, LIST_NAMESPACES, LIST_TASKS,
        ListContainerMessage, ListNamespacesResponse, ListTasksResponse, Nothing, SUBSCRIBE,
    },
    status::time_of,
};
use super::{
    cgroup,
    early_events::buffer_during,
    grpc::{Client, is_unimplemented},
    metadata::{ENTRIES_MAX, Metadata},
    watcher::{RuntimeClient, RuntimeWatcher, Unsupported},
};

/// Namespaces that other sources cover.
const EXCLUDED_NAMESPACES: [&str; 2] = ["k8s.io", "moby"];
/// Maximum number of namespaces that are listed.
const NAMESPACES_MAX: usize = 256;
/// nerdctl's label for the name that the user gave or that nerdctl generated.
const NERDCTL_NAME: &str = "nerdctl/name";

/// The API of containerd's own services.
pub enum ContainerdApi {}

impl RuntimeClient for RuntimeWatcher<ContainerdApi> {
    async fn follow(&self) -> anyhow::Result<Infallible> {
        let connection = self.answer(Client::connect(&self.socket)).await;
        let (client, mut guard) = connection?;
        let namespaces = self.namespaces(&client).await?;

        // Subscribe before the listings, so that as little as possible is missed in between. The response begins with
        // the first event.
        let ours = EXCLUDED_NAMESPACES.map(|other| format!(",namespace!={other:?}")).concat();
        let topics = ["^/containers/", status::TOPICS].map(|topics| format!("topic~={topics:?}{ours}"));
        let filters = Filtered { filters: topics.to_vec() };
        let events = client.follow::<_, Envelope>(SUBSCRIBE, None, filters);
        let mut events = pin!(stream::once(events).try_flatten());
        let listing = self.list_all(&client, namespaces);
        let encoded_len = |event: &Result<Envelope, Status>| event.as_ref().map_or(0, Envelope::encoded_len);
        let (listed, early) = buffer_during(listing, events.as_mut(), encoded_len).await;
        let listed = listed?;
        self.metadata.retain(self.source, |id| listed.contains(id));
        if self.metadata.set_connected(self.source, Ok(())) {
            tracing::info!("connected to containerd at {}", self.socket.display());
        }

        for event in early {
            self.apply(&client, event.context("follow containerd events")?).await?;
        }
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.apply(&client, event.context("follow containerd events")?).await?,
                    None => anyhow::bail!("follow containerd events: the stream ended"),
                },
                error = guard.ended() => return Err(error),
                () = tokio::time::sleep(self.timeouts.idle) => drop(self.namespaces(&client).await?),
            }
        }
    }
}

impl RuntimeWatcher<ContainerdApi> {
    /// The namespaces that no other source covers.
    async fn namespaces(&self, client: &Client) -> anyhow::Result<Vec<String>> {
        let answer = client.ask::<_, ListNamespacesResponse>(LIST_NAMESPACES, Nothing {});
        let answer = match self.answer(answer).await {
            Err(error) if is_unimplemented(&error) => return Err(Unsupported.into()),
            answer => answer.context("list containerd's namespaces")?,
        };
        let names = answer.items.into_iter().map(|namespace| namespace.name);
        Ok(names.filter(|name| is_own(name)).take(NAMESPACES_MAX).collect())
    }

    /// Adds the containers and tasks of all `namespaces`, and returns the containers' keys.
    async fn list_all(&self, client: &Client, namespaces: Vec<String>) -> anyhow::Result<HashSet<String>> {
        let mut listed = HashSet::new();
        let mut tasks_available = true;
        for namespace in namespaces {
            let found = self.list(client, &namespace, Vec::new()).await;
            let found = found.with_context(|| format!("list containers of {namespace:?}"))?;
            tasks_available = tasks_available && (found.is_empty() || self.tasks(client, &namespace).await);
            listed.extend(found);
        }
        Ok(listed)
    }

    /// Adds the containers of a namespace, all or those that match one of `filters`, and returns their keys.
    async fn list(
        &self,
        client: &Client,
        namespace: &str,
        filters: Vec<String>,
    ) -> anyhow::Result<Vec<String>> {
        let containers = async {
            let request = Filtered { filters };
            let mut answers =
                client.follow::<_, ListContainerMessage>(LIST_CONTAINERS, Some(namespace), request).await?;
            let mut ids = Vec::new();
            while let Some(answer) = answers.message().await? {
                if ids.len() < ENTRIES_MAX
                    && let Some(container) = answer.container
                {
                    ids.push(self.enter(namespace, container));
                }
            }
            Ok::<_, Status>(ids)
        };
        self.answer(containers).await
    }

    /// Updates the status of containers from the tasks of a namespace. False if that fails: one container's shim may
    /// hang, which must not keep the other containers from getting their names.
    async fn tasks(&self, client: &Client, namespace: &str) -> bool {
        let answer = client.ask_in::<_, ListTasksResponse>(LIST_TASKS, Some(namespace), Nothing {});
        let answer = match self.answer(answer).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!("list containerd's tasks of {namespace:?}: {error:#}");
                return false;
            }
        };
        for task in &answer.items {
            let key = key(namespace, &task.id);
            if self.is_ours(&key) {
                self.metadata.update_status(&key, |status| status::listed(status, task));
            }
        }
        true
    }

    /// Adds a container and returns its key in the metadata store.
    fn enter(&self, namespace: &str, container: Container) -> String {
        let Container { id, labels, image, spec, created_at } = container;
        let key = key(namespace, &id);
        let name = labels.entries.get(NERDCTL_NAME).unwrap_or(&id);
        let mut names = Metadata::new(self.source, name, &image, labels.iter(), &self.label_filter);
        let path = spec.and_then(|spec| spec::cgroup_path(&spec.value));
        names.cgroup_path = path.filter(|path| cgroup::container_of(path).is_none());
        let known = self.metadata.get(&key);
        names.started_at = known.as_ref().and_then(|known| known.started_at);
        names.status = known.as_ref().map(|known| known.status).unwrap_or_default();
        names.status.created_at = created_at.and_then(time_of).or(names.status.created_at);
        let restarts = labels.entries.get(status::RESTARTS).and_then(|count| count.parse().ok());
        names.status.restarts = names.status.restarts.max(restarts);
        if known.as_ref() != Some(&names) {
            self.metadata.put(&key, names);
        }
        key
    }

    fn is_ours(&self, key: &str) -> bool {
        self.metadata.is_reported_by(self.source, key)
    }

    async fn apply(&self, client: &Client, event: Envelope) -> anyhow::Result<()> {
        let value = event.event.unwrap_or_default().value;
        let Ok(About { id }) = About::decode(value.as_slice()) else { return Ok(()) };
        // The ID becomes part of a filter and must not change its meaning.
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_own(&event.namespace) || id.is_empty() || !plain {
            return Ok(());
        }
        let key = key(&event.namespace, &id);
        match event.topic.as_str() {
            "/containers/create" | "/containers/update" => {
                let listed = self.list(client, &event.namespace, vec![format!("id=={id}")]).await;
                listed.context("request a containerd container")?;
                if event.topic == "/containers/create" && self.is_ours(&key) {
                    self.metadata.update_status(&key, status::made);
                }
            }
            "/containers/delete" if self.is_ours(&key) => self.metadata.remove(&key),
            topic if self.is_ours(&key) => {
                let at = event.timestamp.and_then(time_of).unwrap_or_else(SystemTime::now);
                self.metadata.update_status(&key, |status| status::apply(status, &id, topic, &value, at));
                if topic == "/tasks/start" {
                    self.metadata.set_started_at(&key, at);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// True for a namespace that no other source covers.
fn is_own(namespace: &str) -> bool {
    !namespace.is_empty() && !EXCLUDED_NAMESPACES.contains(&namespace)
}

/// The key of a container in the metadata store: its ID if cgroup paths contain it, else a key that is unique on this
/// host.
fn key(namespace: &str, id: &str) -> String {
    if cgroup::is_id(id) { id.to_owned() } else { format!("{namespace}/{id}") }
}

#[cfg(test)]
mod tests;
