//! What all connections to runtimes have in common: they are made again for ever, after pauses that grow, and whether
//! one stands is told to the [`Directory`] and, once, to the log. Costs a timer while there is no connection.

use std::{convert::Infallible, fmt, future::Future, path::Path, time::Duration};

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout};

use super::directory::{Directory, Source};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Any answer.
    pub(super) answer: Duration,
    /// A connection may be silent for so long until it is checked that the runtime still lives.
    pub(super) silence: Duration,
    /// The first pause before a new attempt; each next one is twice as long.
    pub(super) pause_min: Duration,
    /// The longest pause. A connection that held for longer makes the pauses short again.
    pub(super) pause_max: Duration,
    /// Until one that does not offer what it is asked for is asked again.
    pub(super) not_offered: Duration,
}

pub(super) const PACE: Pace = Pace {
    answer: Duration::from_secs(5),
    silence: Duration::from_secs(30),
    pause_min: Duration::from_millis(250),
    pause_max: Duration::from_secs(5),
    not_offered: Duration::from_secs(60),
};

impl Pace {
    /// An answer in time, from `socket`.
    pub(super) async fn answer<T, E: Into<anyhow::Error>>(
        &self,
        socket: &Path,
        question: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        let answer = timeout(self.answer, question).await;
        answer
            .with_context(|| format!("no answer from {} in {:?}", socket.display(), self.answer))?
            .map_err(Into::into)
    }
}

/// The runtime answers, but does not speak what it was asked in, as containerd without its Kubernetes plugin.
#[derive(Debug)]
pub(super) struct NotOffered;

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not offered")
    }
}

impl std::error::Error for NotOffered {}

/// One connection after the other.
pub(super) trait Follow {
    /// Learns all there is to learn and follows the changes until something goes wrong.
    fn follow(&self) -> impl Future<Output = anyhow::Result<Infallible>> + Send;
}

/// Follows for ever: a runtime that is not there, hangs, restarts or talks nonsense is tried again.
pub(super) async fn for_ever(
    pace: Pace,
    source: Source,
    directory: &Directory,
    follower: &impl Follow,
) -> Infallible {
    directory.register(source);
    let name = source.runtime.as_str();
    let mut pause = pace.pause_min;
    loop {
        let begun = Instant::now();
        let Err(error) = follower.follow().await;
        if error.is::<NotOffered>() {
            directory.unregister(source);
            tracing::debug!("{name} does not offer what it was asked for");
            sleep(pace.not_offered).await;
            continue;
        }
        let reason = format!("{error:#}");
        if directory.set_connected(source, Err(reason.clone())) {
            tracing::warn!("{name} does not answer, new containers go without names: {reason}");
        } else {
            tracing::debug!("{name} still does not answer: {reason}");
        }
        if begun.elapsed() > pace.pause_max {
            pause = pace.pause_min;
        }
        sleep(pause).await;
        pause = (pause * 2).min(pace.pause_max);
    }
}
