//! Names of containerd's containers beside Kubernetes', from containerd's own services: those that nerdctl, `ctr` and
//! others make. One listing per namespace at the start, and then one stream of events for all.
//!
//! An event names a container but does not carry its labels, so one that is new is asked for, once. Kubernetes'
//! namespace is left to [`cri`](super::cri), which knows its containers better, and Docker's to [`docker`](super::docker).
//! Everything the socket says is bounded in size and in time, see [`grpc`](super::grpc).

mod messages;

use std::{
    collections::HashSet,
    convert::Infallible,
    pin::pin,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{Either, select},
    stream,
};
use prost::Message as _;
use tonic::Status;

use self::messages::{
    About, Container, Envelope, Filtered, LIST_CONTAINERS, LIST_NAMESPACES, ListContainerMessage,
    ListNamespacesResponse, Nothing, SUBSCRIBE, Timestamp,
};
use super::{
    directory::{ENTRIES_MAX, Names},
    grpc::{Client, is_unimplemented},
    watcher::{Follow, NotOffered, Watcher},
};

/// Namespaces that others tell of.
const OTHERS_NAMESPACES: [&str; 2] = ["k8s.io", "moby"];
/// Most namespaces that are listed.
const NAMESPACES_MAX: usize = 256;
/// nerdctl's label for the name that its user gave, or that it made up.
const NERDCTL_NAME: &str = "nerdctl/name";

/// containerd's own services.
pub enum ContainerdApi {}

impl Follow for Watcher<ContainerdApi> {
    async fn follow(&self) -> anyhow::Result<Infallible> {
        let connection = self.answer(Client::connect(&self.socket)).await;
        let (client, mut standing) = connection?;
        let namespaces = self.namespaces(&client).await?;

        // Sent before the listings, so that as little as possible falls between. The answer begins with the first event.
        let ours = OTHERS_NAMESPACES.map(|other| format!(",namespace!={other:?}")).concat();
        let topics = ["topic~=\"^/containers/\"", "topic==\"/tasks/start\""];
        let filters = Filtered { filters: topics.map(|topic| format!("{topic}{ours}")).to_vec() };
        let events = client.follow::<_, Envelope>(SUBSCRIBE, None, filters);
        let mut events = pin!(stream::once(events).try_flatten());
        let mut listed = HashSet::new();
        let mut early = Vec::new();
        {
            let mut listings = pin!(async {
                for namespace in namespaces {
                    let found = self.list(&client, &namespace, Vec::new()).await;
                    listed.extend(found.with_context(|| format!("list containers of {namespace:?}"))?);
                }
                anyhow::Ok(())
            });
            loop {
                match select(events.next(), &mut listings).await {
                    // Not applied before the listing, which may be older.
                    Either::Left((Some(event), _)) if early.len() < ENTRIES_MAX => early.push(event),
                    Either::Left(_) => break listings.await?,
                    Either::Right((done, _)) => break done?,
                }
            }
        }
        self.directory.retain(self.source, |id| listed.contains(id));
        if self.directory.set_connected(self.source, Ok(())) {
            tracing::info!("containerd answers at {}", self.socket.display());
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
                error = standing.ended() => return Err(error),
                () = tokio::time::sleep(self.pace.silence) => drop(self.namespaces(&client).await?),
            }
        }
    }
}

impl Watcher<ContainerdApi> {
    /// The namespaces whose containers nobody else tells of.
    async fn namespaces(&self, client: &Client) -> anyhow::Result<Vec<String>> {
        let answer = client.ask::<_, ListNamespacesResponse>(LIST_NAMESPACES, Nothing {});
        let answer = match self.answer(answer).await {
            Err(error) if is_unimplemented(&error) => return Err(NotOffered.into()),
            answer => answer.context("list containerd's namespaces")?,
        };
        let names = answer.namespaces.into_iter().map(|namespace| namespace.name);
        Ok(names.filter(|name| is_ours(name)).take(NAMESPACES_MAX).collect())
    }

    /// Enters the containers of a namespace, all or those that match one of `filters`, and returns their ids.
    async fn list(
        &self,
        client: &Client,
        namespace: &str,
        filters: Vec<String>,
    ) -> anyhow::Result<Vec<String>> {
        let containers = async {
            let question = Filtered { filters };
            let mut answers =
                client.follow::<_, ListContainerMessage>(LIST_CONTAINERS, Some(namespace), question).await?;
            let mut ids = Vec::new();
            while let Some(answer) = answers.message().await? {
                if ids.len() < ENTRIES_MAX
                    && let Some(container) = answer.container
                {
                    ids.push(self.enter(container));
                }
            }
            Ok::<_, Status>(ids)
        };
        self.answer(containers).await
    }

    fn enter(&self, container: Container) -> String {
        let Container { id, labels, image } = container;
        let name = labels.get(NERDCTL_NAME).unwrap_or(&id);
        let pairs = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut names = Names::new(self.source, name, &image, pairs, &self.label_filter);
        let known = self.directory.get(&id);
        names.started_at = known.as_ref().and_then(|known| known.started_at);
        if known.as_ref() != Some(&names) {
            self.directory.put(&id, names);
        }
        id
    }

    async fn apply(&self, client: &Client, event: Envelope) -> anyhow::Result<()> {
        let value = event.event.unwrap_or_default().value;
        let Ok(About { id }) = About::decode(value.as_slice()) else { return Ok(()) };
        // What is put into a filter must not be one.
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_ours(&event.namespace) || id.is_empty() || !plain {
            return Ok(());
        }
        match event.topic.as_str() {
            "/containers/create" | "/containers/update" => {
                let listed = self.list(client, &event.namespace, vec![format!("id=={id}")]).await;
                listed.context("ask for a containerd container")?;
            }
            "/containers/delete" => self.directory.remove(&id),
            "/tasks/start" => {
                if let Some(at) = event.timestamp.and_then(time_of) {
                    self.directory.set_started_at(&id, at);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_ours(namespace: &str) -> bool {
    !namespace.is_empty() && !OTHERS_NAMESPACES.contains(&namespace)
}

fn time_of(timestamp: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds).ok().filter(|seconds| *seconds > 0)?;
    let since_epoch = Duration::new(seconds, u32::try_from(timestamp.nanos).ok()?.min(999_999_999));
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
mod tests;
