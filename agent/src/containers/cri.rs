//! Names and lives of Kubernetes' containers, from the container runtime interface (CRI v1) that containerd and CRI-O
//! speak: one listing at the start, then the events of runtimes that have them (containerd from 1.7, CRI-O from 1.26).
//! With the others, and where an event got lost, a container that nobody has told of leads to another listing, at most
//! one per [`LISTING_PAUSE`], and to two more later, as a pod's sandbox is listed only when it is complete; and one whose
//! cgroup is gone leads to a question how it ended. A listing tells neither when a container was started nor how it
//! ended: that is asked of each container once, when there is news of it.
//!
//! What is asked of containerd here is about its Kubernetes plugin only; see [`containerd`](super::containerd) for the
//! rest. Everything the socket says is bounded in size and in time, see [`grpc`](super::grpc).

pub mod disk;
mod life;
mod listing;
mod messages;
mod names;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{Either, pending},
    stream::{self, FuturesUnordered},
};
use prost::Message as _;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};
use tonic::{Code, Status};

use self::messages::{ContainerEventResponse, GET_CONTAINER_EVENTS, Nothing};
use super::{
    due::{Due, Question},
    grpc::{Client, EARLY_BYTES, EVENT_COST_BYTES},
    watcher::{Follow, Watcher},
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
    /// A container's cgroup is gone; `None` where some may have got lost.
    Ended(Option<Arc<str>>),
    Asked(Question),
    QuestionDue,
    ListingDue,
    Silence,
}

impl Follow for Watcher<CriApi> {
    async fn follow(&self) -> anyhow::Result<Infallible> {
        let name = self.source.runtime.as_str();
        let mut sightings = self.directory.sightings();
        let mut seen = sightings.borrow().kubernetes;
        let mut endings = self.directory.endings();
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
        let (mut early, mut early_bytes) = (Vec::new(), 0);
        let listed = async {
            let mut listing = listing;
            loop {
                match futures_util::future::select(events.next(), &mut listing).await {
                    // Not applied before the listing, which may be older.
                    Either::Left((Some(step), _)) if early_bytes < EARLY_BYTES => {
                        early_bytes += EVENT_COST_BYTES;
                        if let Step::Event(event) = &step {
                            early_bytes += event.encoded_len();
                        }
                        early.push(step);
                    }
                    Either::Left(_) => return listing.await,
                    Either::Right((listed, _)) => return listed,
                }
            }
        };
        let mut questions = Due::default();
        for (id, of_end) in listed.await? {
            questions.soon(id, of_end);
        }
        if self.directory.set_connected(self.source, Ok(())) {
            tracing::info!("{name} answers at {}", self.socket.display());
        }

        let mut follows = true;
        let mut early = early.into_iter();
        let mut last_listing = Instant::now();
        // When to list again, the next first.
        let mut due: Vec<Instant> = Vec::new();
        let mut asking = FuturesUnordered::new();
        loop {
            while asking.len() < QUESTIONS
                && let Some(question) = questions.next()
            {
                asking.push(self.ask(&client, question));
            }
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
                    let ended = async {
                        match endings.recv().await {
                            Ok(id) => Step::Ended(Some(id)),
                            Err(RecvError::Lagged(_)) => Step::Ended(None),
                            Err(RecvError::Closed) => pending().await,
                        }
                    };
                    let until = async |at: Option<Instant>| match at {
                        Some(at) => sleep_until(at).await,
                        None => pending().await,
                    };
                    let question = questions.at().filter(|_| asking.len() < QUESTIONS);
                    tokio::select! {
                        step = event => step,
                        step = unnamed => step,
                        step = ended => step,
                        Some(question) = asking.next() => Step::Asked(question),
                        error = standing.ended() => return Err(error),
                        () = until(question) => Step::QuestionDue,
                        () = until(due.first().copied()) => Step::ListingDue,
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
                Step::Ended(Some(id)) if self.is_container(&id) => {
                    questions.soon(id.as_ref().to_owned(), true);
                }
                Step::Ended(Some(_)) | Step::QuestionDue => {}
                Step::Asked(question) if self.is_open(&question) => questions.again(question),
                Step::Asked(_) => {}
                Step::Ended(None) => {
                    // A listing tells which have.
                    let next = (last_listing + LISTING_PAUSE).max(Instant::now());
                    due.retain(|at| *at > next);
                    due.insert(0, next);
                }
                Step::ListingDue => {
                    due.remove(0);
                    for (id, of_end) in self.list(&client).await? {
                        questions.soon(id, of_end);
                    }
                    last_listing = Instant::now();
                }
                Step::Silence => self.greet(&client).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests;
