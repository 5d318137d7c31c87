//! Names of Kubernetes' containers, from the container runtime interface (CRI v1) that containerd and CRI-O speak: one
//! listing at the start, then the events of runtimes that have them (containerd from 1.7, CRI-O from 1.26). With the
//! others, and where an event got lost, a container that nobody has told of leads to another listing, at most one per
//! [`LISTING_PAUSE`], and to two more later, as a pod's sandbox is listed only when it is complete.
//!
//! What is asked of containerd here is about its Kubernetes plugin only; see [`containerd`](super::containerd) for the
//! rest. Everything the socket says is bounded in size and in time, see [`grpc`](super::grpc).

pub mod disk;
mod messages;
mod names;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    pin::pin,
    time::Duration,
};

use anyhow::Context as _;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{Either, pending},
    stream,
};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status};

use self::{
    messages::{
        CONTAINER_STATUS, Container, ContainerEventResponse, ContainerStatus, ContainerStatusRequest,
        ContainerStatusResponse, DELETED, GET_CONTAINER_EVENTS, LIST_CONTAINERS, LIST_POD_SANDBOX,
        ListContainersResponse, ListPodSandboxResponse, Nothing, READY, RUNNING, VERSION, VersionRequest,
        VersionResponse,
    },
    names::{container_names, sandbox_names, time_of},
};
use super::{
    directory::{ENTRIES_MAX, Names},
    grpc::{Client, is_unimplemented},
    watcher::{Follow, NotOffered, Watcher},
};

/// Between two listings.
const LISTING_PAUSE: Duration = Duration::from_secs(1);
/// After a listing because of a container that nobody had told of, the next ones.
const LATER_LISTINGS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// Questions about single containers under way at a time.
const QUESTIONS: usize = 4;

/// Kubernetes' container runtime interface.
pub enum CriApi {}

/// What comes next on a connection.
enum Step {
    Event(Box<ContainerEventResponse>),
    /// The runtime has no events, or no more.
    NoEvents(Option<Status>),
    /// So many containers were seen that nobody had told of.
    Unnamed(u64),
    ListingDue,
    Silence,
}

impl Follow for Watcher<CriApi> {
    async fn follow(&self) -> anyhow::Result<Infallible> {
        let name = self.source.runtime.as_str();
        let mut sightings = self.directory.sightings();
        let mut seen = sightings.borrow().kubernetes;
        let connection = self.answer(Client::connect(&self.socket)).await;
        let (client, mut standing) = connection?;
        self.greet(&client).await?;

        // Sent before the listing, so that as little as possible falls between the two. The answer begins with the first
        // event.
        let events = client.follow(GET_CONTAINER_EVENTS, None, Nothing {});
        let events = stream::once(events).try_flatten();
        let events = events.map(|event| match event {
            Ok(event) => Step::Event(Box::new(event)),
            Err(status) => Step::NoEvents(Some(status)),
        });
        let mut events = pin!(events.chain(stream::once(async { Step::NoEvents(None) })));
        let listing = pin!(self.list(&client));
        let mut early = Vec::new();
        let listed = async {
            let mut listing = listing;
            loop {
                match futures_util::future::select(events.next(), &mut listing).await {
                    // Not applied before the listing, which may be older.
                    Either::Left((Some(step), _)) if early.len() < ENTRIES_MAX => early.push(step),
                    Either::Left(_) => return listing.await,
                    Either::Right((listed, _)) => return listed,
                }
            }
        };
        listed.await?;
        if self.directory.set_connected(self.source, Ok(())) {
            tracing::info!("{name} answers at {}", self.socket.display());
        }

        let mut follows = true;
        let mut early = early.into_iter();
        let mut last_listing = Instant::now();
        // When to list again, the next first.
        let mut due: Vec<Instant> = Vec::new();
        loop {
            let step = match early.next() {
                Some(step) => step,
                None => {
                    let event = async {
                        match follows {
                            true => events.next().await.unwrap_or(Step::NoEvents(None)),
                            false => pending().await,
                        }
                    };
                    let unnamed = async {
                        match sightings.wait_for(|now| now.kubernetes != seen).await.map(|now| now.kubernetes)
                        {
                            Ok(now) => Step::Unnamed(now),
                            Err(_) => pending().await,
                        }
                    };
                    let listing = async {
                        match due.first() {
                            Some(at) => sleep_until(*at).await,
                            None => pending().await,
                        }
                    };
                    tokio::select! {
                        step = event => step,
                        step = unnamed => step,
                        error = standing.ended() => return Err(error),
                        () = listing => Step::ListingDue,
                        () = tokio::time::sleep(self.pace.silence) => Step::Silence,
                    }
                }
            };
            match step {
                Step::Event(event) => self.apply(*event),
                Step::NoEvents(Some(status)) if status.code() == Code::Unimplemented => follows = false,
                Step::NoEvents(Some(status)) => {
                    return Err(status).with_context(|| format!("follow {name} events"));
                }
                Step::NoEvents(None) if !follows => {}
                Step::NoEvents(None) => anyhow::bail!("follow {name} events: the stream ended"),
                Step::Unnamed(now) => {
                    seen = now;
                    let first = (last_listing + LISTING_PAUSE).max(Instant::now());
                    due = std::iter::once(first).chain(LATER_LISTINGS.map(|later| first + later)).collect();
                }
                Step::ListingDue => {
                    due.remove(0);
                    self.list(&client).await?;
                    last_listing = Instant::now();
                }
                Step::Silence => self.greet(&client).await?,
            }
        }
    }
}

impl Watcher<CriApi> {
    /// Asks something small: whether there is a runtime that speaks CRI.
    async fn greet(&self, client: &Client) -> anyhow::Result<()> {
        let question = VersionRequest { version: "v1".to_owned() };
        match self.answer(client.ask::<_, VersionResponse>(VERSION, question)).await {
            Ok(_) => Ok(()),
            Err(error) if is_unimplemented(&error) => Err(NotOffered.into()),
            Err(error) => {
                Err(error).with_context(|| format!("ask {} for its version", self.source.runtime.as_str()))
            }
        }
    }

    /// Enters all pods' sandboxes and containers, and asks of those that are new and run when they were started.
    async fn list(&self, client: &Client) -> anyhow::Result<()> {
        let name = self.source.runtime.as_str();
        let sandboxes = client.ask::<_, ListPodSandboxResponse>(LIST_POD_SANDBOX, Nothing {});
        let sandboxes = self.answer(sandboxes).await;
        let sandboxes = sandboxes.with_context(|| format!("list {name} pods"))?.items;
        let containers = client.ask::<_, ListContainersResponse>(LIST_CONTAINERS, Nothing {});
        let containers = self.answer(containers).await;
        let containers = containers.with_context(|| format!("list {name} containers"))?.containers;

        let mut pods = HashMap::new();
        let mut listed = HashSet::new();
        for sandbox in sandboxes.into_iter().take(ENTRIES_MAX) {
            let metadata = sandbox.metadata.unwrap_or_default();
            let names = sandbox_names(
                self.source,
                &self.label_filter,
                &metadata,
                &sandbox.labels,
                sandbox.created_at,
            );
            if sandbox.state == READY || self.directory.get(&sandbox.id).is_none() {
                self.put(&sandbox.id, names);
            }
            listed.insert(sandbox.id.clone());
            pods.insert(sandbox.id, metadata);
        }
        let mut unstarted = Vec::new();
        for container in containers.into_iter().take(ENTRIES_MAX) {
            let pod = pods.get(&container.pod_sandbox_id);
            let running = container.state == RUNNING;
            let Container { id, metadata, image, labels, .. } = container;
            let mut names = container_names(
                self.source,
                &self.label_filter,
                &metadata.unwrap_or_default(),
                image,
                pod,
                &labels,
            );
            // From before, and better than what a listing tells.
            names.started_at = self.directory.get(&id).and_then(|known| known.started_at);
            if running && names.started_at.is_none() {
                unstarted.push(id.clone());
            }
            self.put(&id, names);
            listed.insert(id);
        }
        self.directory.retain(self.source, |id| listed.contains(id));
        let questions = unstarted.into_iter().map(|id| self.ask_start(client, id));
        stream::iter(questions).buffer_unordered(QUESTIONS).collect::<()>().await;
        Ok(())
    }

    async fn ask_start(&self, client: &Client, id: String) {
        let question = ContainerStatusRequest { container_id: id.clone() };
        let answer = client.ask::<_, ContainerStatusResponse>(CONTAINER_STATUS, question);
        // One that cannot be asked about has gone, as a rule.
        if let Ok(ContainerStatusResponse { status: Some(status) }) = self.answer(answer).await
            && let Some(started_at) = time_of(status.started_at)
        {
            self.directory.set_started_at(&id, started_at);
        }
    }

    fn apply(&self, event: ContainerEventResponse) {
        let id = &event.container_id;
        if event.container_event_type == DELETED {
            return self.directory.remove(id);
        }
        let pod = event.pod_sandbox_status.unwrap_or_default();
        let metadata = pod.metadata.unwrap_or_default();
        if pod.id == *id {
            return self.put(
                id,
                sandbox_names(self.source, &self.label_filter, &metadata, &pod.labels, pod.created_at),
            );
        }
        let Some(status) = event.containers_statuses.into_iter().find(|status| status.id == *id) else {
            return;
        };
        let ContainerStatus { metadata: container, image, labels, started_at, .. } = status;
        let mut names = container_names(
            self.source,
            &self.label_filter,
            &container.unwrap_or_default(),
            image,
            Some(&metadata),
            &labels,
        );
        names.started_at =
            time_of(started_at).or_else(|| self.directory.get(id).and_then(|known| known.started_at));
        self.put(id, names);
    }

    /// Spares the readers a change that is none.
    fn put(&self, id: &str, names: Names) {
        if !id.is_empty() && self.directory.get(id).as_ref() != Some(&names) {
            self.directory.put(id, names);
        }
    }
}

#[cfg(test)]
mod tests;
