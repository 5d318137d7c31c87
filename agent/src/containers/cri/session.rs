//! One connection to a Kubernetes runtime, from its first listing to the error that ends it.

use std::{convert::Infallible, future::pending};

use anyhow::Context as _;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesUnordered},
};
use prost::Message as _;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Code, Status};

use super::{
    CriApi,
    messages::{ContainerEventResponse, GET_CONTAINER_EVENTS, Nothing},
    observed::{Observation, Observations},
    schedule::ListingSchedule,
};
use crate::containers::{
    early_events::buffer_during,
    grpc::{Client, ConnectionGuard},
    recheck::{Query, RecheckQueue},
    watcher::RuntimeWatcher,
};

/// Maximum number of concurrent queries about containers.
const REQUESTS_MAX: usize = 4;

type Event = Result<ContainerEventResponse, Status>;

/// The next event on a connection.
enum Step {
    /// `None`: the stream ended.
    Event(Option<Box<Event>>),
    Observed(Observation),
    /// A query about a container has completed.
    QueryDone(Query),
    QueryDue,
    ListingDue,
    /// Nothing happened for a while.
    Silence,
}

/// The state of a connection.
pub(super) struct Session<'a> {
    watcher: &'a RuntimeWatcher<CriApi>,
    client: &'a Client,
    guard: ConnectionGuard,
    events: BoxStream<'a, Event>,
    /// Events received during the first listing.
    early: Vec<Event>,
    /// False once the runtime has refused the event stream: older runtimes do not have it.
    offers_events: bool,
    observations: Observations,
    listings: ListingSchedule,
    rechecks: RecheckQueue,
    requests: FuturesUnordered<BoxFuture<'a, Query>>,
}

impl<'a> Session<'a> {
    /// Requests the event stream, lists all containers, and reports the runtime as connected.
    pub(super) async fn open(
        watcher: &'a RuntimeWatcher<CriApi>,
        client: &'a Client,
        guard: ConnectionGuard,
        observations: Observations,
    ) -> anyhow::Result<Self> {
        // Requested before the listing, so that no change is missed between the two. The response begins with the first
        // event, so the listing cannot wait for it.
        let events = client.follow(GET_CONTAINER_EVENTS, None, Nothing {});
        let mut events = stream::once(events).try_flatten().fuse().boxed();
        let encoded_len = |event: &Event| event.as_ref().map_or(0, ContainerEventResponse::encoded_len);
        let (listed, early) = buffer_during(watcher.list(client), &mut events, encoded_len).await;
        let unclear = listed?;
        let mut session = Self {
            watcher,
            client,
            guard,
            events,
            early,
            offers_events: true,
            observations,
            listings: ListingSchedule::just_listed(),
            rechecks: RecheckQueue::default(),
            requests: FuturesUnordered::new(),
        };
        session.recheck(unclear);
        if watcher.metadata.set_connected(watcher.source, Ok(())) {
            tracing::info!(
                "connected to {} at {}",
                watcher.source.runtime.as_str(),
                watcher.socket.display()
            );
        }
        Ok(session)
    }

    /// Follows the changes until an error occurs.
    pub(super) async fn run(mut self) -> anyhow::Result<Infallible> {
        for event in std::mem::take(&mut self.early) {
            self.handle_event(Some(event))?;
        }
        loop {
            self.start_requests();
            let step = self.next_step().await?;
            self.handle_step(step).await?;
        }
    }

    fn start_requests(&mut self) {
        while self.requests.len() < REQUESTS_MAX
            && let Some(question) = self.rechecks.next()
        {
            self.requests.push(Box::pin(self.watcher.ask(self.client, question)));
        }
    }

    async fn next_step(&mut self) -> anyhow::Result<Step> {
        let question_at = self.rechecks.at().filter(|_| self.requests.len() < REQUESTS_MAX);
        Ok(tokio::select! {
            event = self.events.next(), if self.offers_events => Step::Event(event.map(Box::new)),
            observation = self.observations.next() => Step::Observed(observation),
            Some(question) = self.requests.next() => Step::QueryDone(question),
            error = self.guard.ended() => return Err(error),
            () = until(question_at) => Step::QueryDue,
            () = until(self.listings.next()) => Step::ListingDue,
            () = sleep(self.watcher.timeouts.idle) => Step::Silence,
        })
    }

    async fn handle_step(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Event(event) => self.handle_event(event.map(|event| *event))?,
            Step::Observed(observation) => self.handle_observation(observation),
            Step::QueryDone(question) if self.watcher.needs_query(&question) => self.rechecks.again(question),
            // `start_requests` sends what is due.
            Step::QueryDone(_) | Step::QueryDue => {}
            Step::ListingDue => self.list().await?,
            Step::Silence => self.watcher.greet(self.client).await?,
        }
        Ok(())
    }

    fn handle_event(&mut self, event: Option<Event>) -> anyhow::Result<()> {
        let follow = || format!("follow {} events", self.watcher.source.runtime.as_str());
        match event {
            Some(Ok(event)) => self.watcher.apply(event),
            Some(Err(status)) if status.code() == Code::Unimplemented => self.offers_events = false,
            Some(Err(status)) => return Err(status).with_context(follow),
            None => anyhow::bail!("{}: the stream ended", follow()),
        }
        Ok(())
    }

    fn handle_observation(&mut self, observation: Observation) {
        match observation {
            Observation::Discovery => self.listings.after_discovery(),
            Observation::Exit(id) if self.watcher.is_container(&id) => {
                self.rechecks.soon(id.as_ref().to_owned(), true);
            }
            Observation::Exit(_) => {}
            // A listing shows which containers exited.
            Observation::MissedExits => self.listings.soon(),
        }
    }

    async fn list(&mut self) -> anyhow::Result<()> {
        let unclear = self.watcher.list(self.client).await?;
        self.recheck(unclear);
        self.listings.listed();
        Ok(())
    }

    /// Schedules queries about containers, each with whether it exited.
    fn recheck(&mut self, containers: Vec<(String, bool)>) {
        for (id, exited) in containers {
            self.rechecks.soon(id, exited);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
