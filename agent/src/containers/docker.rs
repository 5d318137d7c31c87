//! Names of Docker's containers, from its API: one listing at the start and then its event stream. Nothing is
//! polled.
//!
//! The events of a container's creation and start carry its name, image and labels, so that one that lives
//! for 50 ms is named without another question. What events leave out is asked for once, a moment later: of
//! containers that ran before the agent did when they were started, of one that was started whether it has a
//! health check, of one that died whether it will be started again ([`life`]). The stream is subscribed to before the listing, so that no change
//! falls between the two.
//!
//! Questions name no API version, so that each daemon answers in its own, old or new (run against 1.41).
//! Everything the socket says is bounded in size and in time, see [`transport`].

mod life;
mod timestamp;
mod transport;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    path::PathBuf,
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
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::{life::Due, transport::Client};
use super::{
    Runtime,
    directory::{Directory, Names},
};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Any answer.
    answer: Duration,
    /// The event stream may be silent for so long until it is checked that the daemon still lives.
    silence: Duration,
    /// The first pause before a new attempt; each next one is twice as long.
    pause_min: Duration,
    /// The longest pause. A connection that held for longer makes the pauses short again.
    pause_max: Duration,
}

const PACE: Pace = Pace {
    answer: Duration::from_secs(5),
    silence: Duration::from_secs(30),
    pause_min: Duration::from_millis(250),
    pause_max: Duration::from_secs(5),
};

/// Inspections under way at a time.
const INSPECTIONS: usize = 4;

/// The events that change who it is. A container that stops keeps its names.
const EVENTS: [&str; 4] = ["create", "start", "rename", "destroy"];

/// What Docker adds to an event beside the container's labels.
const ATTRIBUTES_THAT_ARE_NO_LABELS: [&str; 3] = ["image", "name", "oldName"];

/// Keeps the directory in step with the daemon behind `socket`, for ever: a daemon that is not there, hangs,
/// restarts or talks nonsense is tried again. `label_filter` says which labels are kept: exact names, or a
/// prefix and `*`.
pub async fn watch(socket: PathBuf, label_filter: Vec<String>, directory: Directory) -> Infallible {
    watch_at(PACE, socket, label_filter, directory).await
}

async fn watch_at(
    pace: Pace,
    socket: PathBuf,
    label_filter: Vec<String>,
    directory: Directory,
) -> Infallible {
    directory.register(Runtime::Docker);
    let watcher = Watcher { pace, socket, label_filter, directory };
    let mut pause = pace.pause_min;
    loop {
        let begun = Instant::now();
        let Err(error) = watcher.follow().await;
        let reason = format!("{error:#}");
        if watcher.directory.set_connected(Runtime::Docker, Err(reason.clone())) {
            tracing::warn!("docker does not answer, new containers go without names: {reason}");
        } else {
            tracing::debug!("docker still does not answer: {reason}");
        }
        if begun.elapsed() > pace.pause_max {
            pause = pace.pause_min;
        }
        sleep(pause).await;
        pause = (pause * 2).min(pace.pause_max);
    }
}

struct Watcher {
    pace: Pace,
    socket: PathBuf,
    label_filter: Vec<String>,
    directory: Directory,
}

impl Watcher {
    /// Lists, and follows the events until something goes wrong.
    async fn follow(&self) -> anyhow::Result<Infallible> {
        let Client { docker: events, allowance, answered } = transport::events(&self.socket)?;
        let docker = transport::questions(&self.socket)?;
        let wanted = EVENTS.into_iter().chain(life::EVENTS).collect();
        let filters = HashMap::from([("type", vec!["container"]), ("event", wanted)]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let mut events = pin!(events.events(Some(options)));

        // The request is sent when the stream is first polled.
        let answered = pin!(answered.notified());
        let subscribed = select(events.next(), answered);
        let first =
            match self.answer(async { Ok(subscribed.await) }).await.context("subscribe to docker events")? {
                Either::Left((Some(first), _)) => Some(Ok(first.context("subscribe to docker events")?)),
                Either::Left((None, _)) => {
                    anyhow::bail!("subscribe to docker events: the stream ended at once")
                }
                Either::Right(_) => None,
            };

        let running = self.list(&docker).await?;
        if self.directory.set_connected(Runtime::Docker, Ok(())) {
            tracing::info!("docker answers at {}", self.socket.display());
        }
        let mut events = pin!(stream::iter(first).chain(events));
        let mut due = Due::now(running);
        let mut inspections = FuturesUnordered::new();
        let mut silent_until = Instant::now() + self.pace.silence;
        loop {
            while inspections.len() < INSPECTIONS
                && let Some(id) = due.next()
            {
                inspections.push(self.inspect(&docker, id));
            }
            let next = due.at().filter(|_| inspections.len() < INSPECTIONS);
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event else {
                        anyhow::bail!("follow docker events: the stream ended");
                    };
                    allowance.refill();
                    silent_until = Instant::now() + self.pace.silence;
                    if let Some(id) = self.apply(event.context("follow docker events")?) {
                        due.soon(id);
                    }
                }
                Some(()) = inspections.next() => {}
                () = sleep_until(next.map_or(silent_until, |next| next.min(silent_until))) => {
                    if Instant::now() >= silent_until {
                        drop(self.answer(docker.ping()).await.context("ping docker")?);
                        silent_until = Instant::now() + self.pace.silence;
                    }
                }
            }
        }
    }

    async fn answer<T>(
        &self,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> anyhow::Result<T> {
        let answer = timeout(self.pace.answer, question).await;
        Ok(answer.with_context(|| {
            format!("no answer from {} in {:?}", self.socket.display(), self.pace.answer)
        })??)
    }

    async fn inspect(&self, docker: &Docker, id: String) {
        if !self.directory.is_present(&id) {
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
        let containers =
            self.answer(docker.list_containers(Some(options))).await.context("list docker containers")?;
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
        self.directory.retain(Runtime::Docker, |id| listed.contains(id));
        Ok(running)
    }

    fn enter(&self, container: ContainerSummary) -> Option<String> {
        let id = container.id?;
        let names = container.names.unwrap_or_default();
        let labels = container.labels.unwrap_or_default();
        let image = container.image.unwrap_or_default();
        let labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut names = Names::new(Runtime::Docker, own_name(&names), &image, labels, &self.label_filter);
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
        if let Some(image) = container.config.and_then(|config| config.image) {
            self.directory.update_image(id, &image);
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
        if action == "destroy" {
            self.directory.remove(&id);
            return None;
        }
        if life::is_event(&action) {
            let at = at.unwrap_or_else(SystemTime::now);
            self.directory.update_life(&id, |life| life::apply(life, &action, attribute("exitCode"), at));
            return (action == "die").then_some(id);
        }
        if !EVENTS.contains(&action.as_str()) {
            return None;
        }
        let labels = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let labels = labels.filter(|(key, _)| !ATTRIBUTES_THAT_ARE_NO_LABELS.contains(key));
        let mut names =
            Names::new(Runtime::Docker, attribute("name"), attribute("image"), labels, &self.label_filter);
        let known = self.directory.get(&id);
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
