//! Names of Docker's containers, and of Podman's, from Docker's API, which both speak: one listing at the start and then its event stream. Nothing is
//! polled.
//!
//! The events of a container's creation and start carry its name, image and labels, so that one that lives
//! for 50 ms is named without another question. What events leave out is asked for once, a moment later: of
//! containers that ran before the agent did when they were started, of one that was started whether it has a
//! health check, of one that died whether it will be started again ([`life`]). The stream is subscribed to
//! before the listing, so that no change falls between the two.
//!
//! Questions name no API version, so that each daemon answers in its own, old or new (run against Docker 20.10 and 28.5,
//! with and without its containerd image store, and against Podman 4.3 and 5.8).
//! Everything the socket says is bounded in size and in time, see [`transport`].

mod life;
pub(super) mod timestamp;
mod transport;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    pin::pin,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use bollard::{
    Docker,
    models::{ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EventMessage},
    query_parameters::{EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder},
};
use futures_util::{
    future::{Either, select},
    stream::{self, FuturesUnordered, StreamExt as _},
};
use tokio::time::{Instant, sleep_until};

use self::transport::Client;
use super::{
    directory::Names,
    due::Due,
    watcher::{Follow, Watcher},
};

/// Inspections under way at a time.
const INSPECTIONS: usize = 4;

/// The events that change who it is. A container that stops keeps its names.
/// Podman says `remove` for `destroy`.
const EVENTS: [&str; 5] = ["create", "start", "rename", "destroy", "remove"];

/// What Docker and Podman add to an event beside the container's labels, in place of labels of these names. An inspection
/// has the labels.
const ATTRIBUTES_THAT_ARE_NO_LABELS: [&str; 5] = ["image", "name", "oldName", "containerExitCode", "podId"];

/// Docker's API, as Docker and Podman speak it.
pub enum DockerApi {}

impl Follow for Watcher<DockerApi> {
    async fn follow(&self) -> anyhow::Result<Infallible> {
        let runtime = self.source.runtime.as_str();
        let Client { docker: events, allowance, answered } = transport::events(&self.socket)?;
        let docker = transport::questions(&self.socket)?;
        let wanted = EVENTS.into_iter().chain(life::EVENTS).collect();
        let filters = HashMap::from([("type", vec!["container"]), ("event", wanted)]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let mut events = pin!(events.events(Some(options)));

        // The request is sent when the stream is first polled.
        let answered = pin!(answered.notified());
        let subscribed = select(events.next(), answered);
        let subscribe = || format!("subscribe to {runtime} events");
        let first = match self
            .answer(async { Ok::<_, Infallible>(subscribed.await) })
            .await
            .with_context(subscribe)?
        {
            Either::Left((Some(first), _)) => Some(Ok(first.with_context(subscribe)?)),
            Either::Left((None, _)) => anyhow::bail!("{}: the stream ended at once", subscribe()),
            Either::Right(_) => None,
        };

        let running = self.list(&docker).await?;
        if self.directory.set_connected(self.source, Ok(())) {
            tracing::info!("{runtime} answers at {}", self.socket.display());
        }
        let mut events = pin!(stream::iter(first).chain(events));
        let mut due = Due::now(running);
        let mut inspections = FuturesUnordered::new();
        let mut silent_until = Instant::now() + self.pace.silence;
        loop {
            while inspections.len() < INSPECTIONS
                && let Some(question) = due.next()
            {
                inspections.push(self.inspect(&docker, question.id));
            }
            let next = due.at().filter(|_| inspections.len() < INSPECTIONS);
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event else {
                        anyhow::bail!("follow {runtime} events: the stream ended");
                    };
                    allowance.refill();
                    silent_until = Instant::now() + self.pace.silence;
                    if let Some(id) = self.apply(event.with_context(|| format!("follow {runtime} events"))?) {
                        due.soon(id, false);
                    }
                }
                Some(()) = inspections.next() => {}
                () = sleep_until(next.map_or(silent_until, |next| next.min(silent_until))) => {
                    if Instant::now() >= silent_until {
                        drop(self.answer(docker.ping()).await.with_context(|| format!("ping {runtime}"))?);
                        silent_until = Instant::now() + self.pace.silence;
                    }
                }
            }
        }
    }
}

impl Watcher<DockerApi> {
    async fn inspect(&self, docker: &Docker, id: String) {
        if !self.directory.is_present(&id) || !self.directory.is_told_by(self.source, &id) {
            return;
        }
        let changes = self.directory.life(&id).map_or(0, |life| life.changes);
        // One that cannot be inspected has gone, as a rule.
        if let Ok(container) =
            self.answer(docker.inspect_container(&id, None::<InspectContainerOptions>)).await
        {
            self.complete(container, changes);
        }
    }

    /// Enters all containers and returns the ids of those that run.
    async fn list(&self, docker: &Docker) -> anyhow::Result<Vec<String>> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let containers = self.answer(docker.list_containers(Some(options))).await;
        let containers =
            containers.with_context(|| format!("list {} containers", self.source.runtime.as_str()))?;
        let mut listed = HashSet::new();
        let mut running = Vec::new();
        for container in containers {
            let is_running = matches!(
                container.state,
                Some(
                    ContainerSummaryStateEnum::RUNNING
                        | ContainerSummaryStateEnum::PAUSED
                        | ContainerSummaryStateEnum::RESTARTING
                )
            );
            let Some(id) = self.enter(container) else { continue };
            if is_running {
                running.push(id.clone());
            }
            listed.insert(id);
        }
        self.directory.retain(self.source, |id| listed.contains(id));
        Ok(running)
    }

    fn enter(&self, container: ContainerSummary) -> Option<String> {
        let id = container.id?;
        let names = container.names.unwrap_or_default();
        let labels = container.labels.unwrap_or_default();
        let image = container.image.unwrap_or_default();
        let labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut names = Names::new(self.source, own_name(&names), &image, labels, &self.label_filter);
        // From before a reconnect, and better than what a listing tells.
        if let Some(known) = self.directory.get(&id) {
            names.started_at = known.started_at;
            names.image = Some(known.image).filter(|image| !image.is_empty()).unwrap_or(names.image);
            names.life = known.life;
        }
        if let Some(state) = container.state.and_then(life::of_listing) {
            names.life.change(state);
        }
        let created_at = container.created.and_then(|seconds| time_of(seconds.checked_mul(1_000_000_000)?));
        names.life.created_at = names.life.created_at.or(created_at);
        self.directory.put(&id, names);
        Some(id)
    }

    /// Adds what a listing does not tell: when it was started, and the image's name where a newer one has
    /// taken it, and how it fares, if nothing has happened to it since `changes`.
    fn complete(&self, container: ContainerInspectResponse, changes: u64) {
        let Some(id) = &container.id else { return };
        self.directory.update_life(id, |life| life::inspected(life, &container, changes));
        if let Some(config) = container.config {
            if let Some(image) = config.image {
                self.directory.update_image(id, &image);
            }
            let labels = config.labels.unwrap_or_default();
            let labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let replaced = labels.filter(|(key, _)| ATTRIBUTES_THAT_ARE_NO_LABELS.contains(key));
            self.directory.add_labels(id, replaced, &self.label_filter);
        }
        let started_at = container.state.and_then(|state| state.started_at);
        if let Some(started_at) = started_at.and_then(|text| timestamp::parse(&text)) {
            self.directory.set_started_at(id, started_at);
        }
    }

    /// Takes in an event; returns the container if it should be inspected.
    fn apply(&self, event: EventMessage) -> Option<String> {
        let actor = event.actor?;
        let (id, action) = (actor.id?, event.action?);
        let attributes = actor.attributes.unwrap_or_default();
        let attribute = |key| attributes.get(key).map_or("", String::as_str);
        let at = event.time_nano.and_then(time_of);
        let is_end = action == "destroy" || action == "remove";
        if (is_end || life::is_event(&action)) && !self.directory.is_told_by(self.source, &id) {
            return None;
        }
        if is_end {
            self.directory.remove(&id);
            return None;
        }
        if life::is_event(&action) {
            let at = at.unwrap_or_else(SystemTime::now);
            // Podman has another word for it.
            let code = Some(attribute("exitCode")).filter(|code| !code.is_empty());
            let code = code.unwrap_or(attribute("containerExitCode"));
            self.directory.update_life(&id, |life| life::apply(life, &action, code, at));
            return life::leaves_out(&action).then_some(id);
        }
        if !EVENTS.contains(&action.as_str()) {
            return None;
        }
        let labels = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let labels = labels.filter(|(key, _)| !ATTRIBUTES_THAT_ARE_NO_LABELS.contains(key));
        let mut names =
            Names::new(self.source, attribute("name"), attribute("image"), labels, &self.label_filter);
        let known = self.directory.get(&id);
        for (key, value) in known.iter().flat_map(|known| &known.labels) {
            if ATTRIBUTES_THAT_ARE_NO_LABELS.contains(&key.as_str()) {
                names.add_label(key, value, &self.label_filter);
            }
        }
        names.started_at = known.as_ref().and_then(|known| known.started_at);
        names.life = known.map(|known| known.life).unwrap_or_default();
        match action.as_str() {
            "create" => names.life.created(at),
            "start" => {
                names.life.started(names.started_at.is_some());
                names.started_at = at;
            }
            _ => {}
        }
        self.directory.put(&id, names);
        (action == "start").then_some(id)
    }
}

/// The container's own name; those with two slashes are what linked containers call it.
fn own_name(names: &[String]) -> &str {
    let own = names.iter().find(|name| !name.trim_start_matches('/').contains('/'));
    own.or(names.first()).map_or("", String::as_str)
}

fn time_of(nanoseconds: i64) -> Option<SystemTime> {
    let since_epoch = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
mod tests;
