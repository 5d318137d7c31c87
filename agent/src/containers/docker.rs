//! Metadata of Docker's and Podman's containers, from the API that both support: one listing at the start, then the
//! event stream. Nothing is polled.
//!
//! The create and start events of a container contain its name, image and labels, so that a container that lives for 50
//! ms gets its name without another request. Data that events lack is requested once, a moment later: the start time of
//! containers that are older than the agent, whether a started container has a health check, and whether an exited one
//! will be restarted ([`status`]). The agent subscribes to the events before the listing, so that no change is missed
//! between the two.
//!
//! Requests contain no API version, so each daemon responds in its own, old or new (tested with Docker 20.10 and 28.5,
//! with and without its containerd image store, and with Podman 4.3 and 5.8). Every response is bounded in size and
//! time (see [`transport`]), and so is the data kept from it (see [`messages`]).

mod lines;
mod messages;
mod status;
pub(super) mod timestamp;
mod transport;

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};

use self::{
    messages::{Event, Inspected, Listed},
    transport::{Events, LISTING_BYTES, RESPONSE_BYTES},
};
use super::{
    metadata::{ENTRIES_MAX, Metadata},
    recheck::RecheckQueue,
    watcher::{RuntimeClient, RuntimeWatcher},
};
use crate::containers::source::Source;
use crate::snapshot::lifecycle::ContainerState;

/// Maximum number of concurrent inspections.
const INSPECTIONS: usize = 4;

/// The events that change a container's metadata. A container that stops keeps it. Podman uses `remove` for `destroy`.
const EVENTS: [&str; 5] = ["create", "start", "rename", "destroy", "remove"];

/// Attributes that Docker and Podman add to an event, next to the container's labels. They replace labels with the same
/// names; an inspection has the real labels.
const NON_LABEL_ATTRIBUTES: [&str; 5] = ["image", "name", "oldName", "containerExitCode", "podId"];

/// The API of Docker, which Podman also supports.
pub enum DockerApi {}

impl RuntimeClient for RuntimeWatcher<DockerApi> {
    async fn follow(&self) -> anyhow::Result<Infallible> {
        let runtime = self.source.runtime.as_str();
        let subscribed = self.answer(transport::get(&self.socket, &events_target())).await;
        let mut events = Events::new(subscribed.with_context(|| format!("subscribe to {runtime} events"))?);

        let running = self.list().await?;
        if self.metadata.set_connected(self.source, Ok(())) {
            tracing::info!("connected to {runtime} at {}", self.socket.display());
        }
        let mut due = RecheckQueue::now(running);
        let mut inspections = FuturesUnordered::new();
        let mut silent_until = Instant::now() + self.timeouts.idle;
        loop {
            if Instant::now() >= silent_until {
                self.ask("/_ping", RESPONSE_BYTES).await.with_context(|| format!("ping {runtime}"))?;
                silent_until = Instant::now() + self.timeouts.idle;
            }
            while inspections.len() < INSPECTIONS
                && let Some(question) = due.next()
            {
                inspections.push(self.inspect(question.id));
            }
            let next = due.at().filter(|_| inspections.len() < INSPECTIONS);
            let event = tokio::select! {
                event = events.next() => event.with_context(|| format!("follow {runtime} events"))?,
                Some(()) = inspections.next() => continue,
                () = sleep_until(next.map_or(silent_until, |next| next.min(silent_until))) => continue,
            };
            let event = event.with_context(|| format!("follow {runtime} events: the stream ended"))?;
            silent_until = Instant::now() + self.timeouts.idle;
            if let Some(id) = self.apply(event) {
                due.soon(id, false);
            }
        }
    }
}

impl RuntimeWatcher<DockerApi> {
    /// The complete response to a GET request, within the timeout.
    async fn ask(&self, target: &str, most_bytes: usize) -> anyhow::Result<Vec<u8>> {
        self.answer(async { transport::get(&self.socket, target).await?.whole(most_bytes).await }).await
    }

    async fn inspect(&self, id: String) {
        // The ID becomes part of a path.
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !plain || !self.metadata.is_present(&id) || !self.metadata.is_reported_by(self.source, &id) {
            return;
        }
        let changes = self.metadata.status(&id).map_or(0, |status| status.changes);
        // If the inspection fails, the container has usually been removed.
        if let Ok(text) = self.ask(&format!("/containers/{id}/json"), RESPONSE_BYTES).await
            && let Ok(container) = serde_json::from_slice::<Inspected>(&text)
        {
            self.complete(container, changes);
        }
    }

    /// Adds all containers and returns the IDs of those that run.
    async fn list(&self) -> anyhow::Result<Vec<String>> {
        let list = || format!("list {} containers", self.source.runtime.as_str());
        let (text, trust) = self
            .answer(async {
                let response = transport::get(&self.socket, "/containers/json?all=true").await?;
                let trust = response.trust;
                anyhow::Ok((response.whole(LISTING_BYTES).await?, trust))
            })
            .await
            .with_context(list)?;
        let (source, filter) = (self.source, self.label_filter.clone());
        // Parsing a large listing takes a while; other tasks must not wait for it.
        let parsing = tokio::task::spawn_blocking(move || {
            let mut containers = Vec::new();
            messages::listing(&text, trust.containers(ENTRIES_MAX), |container| {
                containers.extend(Found::of(source, &filter, container));
            })?;
            anyhow::Ok(containers)
        });
        let containers = parsing.await.with_context(list)?.with_context(list)?;
        let mut listed = HashSet::new();
        let mut running = Vec::new();
        for container in containers {
            if !listed.insert(container.id.clone()) {
                continue;
            }
            if container.is_running {
                running.push(container.id.clone());
            }
            self.enter(container);
        }
        self.metadata.retain(self.source, |id| listed.contains(id));
        Ok(running)
    }

    fn enter(&self, Found { id, mut names, state, created_at, .. }: Found) {
        // Keep what was known before a reconnect, because a listing contains less.
        if let Some(known) = self.metadata.get(&id) {
            names.started_at = known.started_at;
            names.image = Some(known.image).filter(|image| !image.is_empty()).unwrap_or(names.image);
            names.status = known.status;
        }
        if let Some(state) = state {
            names.status.change(state);
        }
        names.status.created_at = names.status.created_at.or(created_at);
        self.metadata.put(&id, names);
    }

    /// Adds what a listing lacks: the start time, the image's name if a newer image has taken it over, and the status,
    /// if there was no change since `changes`.
    fn complete(&self, container: Inspected, changes: u64) {
        let Some(id) = &container.id else { return };
        self.metadata.update_status(id, |status| status::inspected(status, &container, changes));
        if let Some(config) = container.config {
            if let Some(image) = config.image {
                self.metadata.update_image(id, &image);
            }
            let labels = config.labels.unwrap_or_default();
            let replaced = labels.iter().filter(|(key, _)| NON_LABEL_ATTRIBUTES.contains(key));
            self.metadata.add_labels(id, replaced, &self.label_filter);
        }
        let started_at = container.state.and_then(|state| state.started_at);
        if let Some(started_at) = started_at.and_then(|text| timestamp::parse(&text)) {
            self.metadata.set_started_at(id, started_at);
        }
    }

    /// Applies an event. Returns the container if it should be inspected.
    fn apply(&self, event: Event) -> Option<String> {
        let actor = event.actor?;
        let (id, action) = (actor.id?, event.action?);
        let attributes = actor.attributes.unwrap_or_default();
        let attribute = |key| attributes.get(key);
        let at = event.time_nano.and_then(time_of);
        let is_end = action == "destroy" || action == "remove";
        if (is_end || status::is_event(&action)) && !self.metadata.is_reported_by(self.source, &id) {
            return None;
        }
        if is_end {
            self.metadata.remove(&id);
            return None;
        }
        if status::is_event(&action) {
            let at = at.unwrap_or_else(SystemTime::now);
            // Podman's name of this attribute.
            let code = Some(attribute("exitCode")).filter(|code| !code.is_empty());
            let code = code.unwrap_or(attribute("containerExitCode"));
            self.metadata.update_status(&id, |status| status::apply(status, &action, code, at));
            return status::needs_inspection(&action).then_some(id);
        }
        if !EVENTS.contains(&action.as_str()) {
            return None;
        }
        let labels = attributes.iter().filter(|(key, _)| !NON_LABEL_ATTRIBUTES.contains(key));
        let mut names =
            Metadata::new(self.source, attribute("name"), attribute("image"), labels, &self.label_filter);
        let known = self.metadata.get(&id);
        for (key, value) in known.iter().flat_map(|known| &known.labels) {
            if NON_LABEL_ATTRIBUTES.contains(&key.as_str()) {
                names.add_label(key, value, &self.label_filter);
            }
        }
        names.started_at = known.as_ref().and_then(|known| known.started_at);
        names.status = known.map(|known| known.status).unwrap_or_default();
        match action.as_str() {
            "create" => names.status.created(at),
            "start" => {
                names.status.started(names.started_at.is_some());
                names.started_at = at;
            }
            _ => {}
        }
        self.metadata.put(&id, names);
        (action == "start").then_some(id)
    }
}

/// A container from a listing, truncated to the limits.
struct Found {
    id: String,
    names: Metadata,
    is_running: bool,
    state: Option<ContainerState>,
    created_at: Option<SystemTime>,
}

impl Found {
    fn of(source: Source, filter: &[String], container: Listed) -> Option<Self> {
        let names = container.names.unwrap_or_default().0;
        let labels = container.labels.unwrap_or_default();
        let image = container.image.unwrap_or_default();
        let state = container.state.as_deref().and_then(status::state_of);
        Some(Self {
            id: container.id?,
            names: Metadata::new(source, own_name(&names), &image, labels.iter(), filter),
            is_running: matches!(
                state,
                Some(ContainerState::Running | ContainerState::Paused | ContainerState::Restarting)
            ),
            state,
            created_at: container.created.and_then(|seconds| time_of(seconds.checked_mul(1_000_000_000)?)),
        })
    }
}

/// The request target of the event stream: events of containers that change metadata or status.
fn events_target() -> String {
    let wanted: Vec<_> = EVENTS.into_iter().chain(status::EVENTS).collect();
    let filters = serde_json::json!({ "type": ["container"], "event": wanted }).to_string();
    let mut target = String::from("/events?filters=");
    for byte in filters.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    target
}

/// The container's own name. A name with two slashes is an alias that a linked container uses.
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
