//! What watching a runtime takes, whatever it speaks: one socket, whose connections are made again for ever, after pauses
//! that grow. Whether one stands is told to the [`Directory`] and, once, to the log. Costs a timer while there is no
//! connection.

use std::{
    any::Any,
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::directory::Directory;
use crate::containers::source::Source;

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

/// A runtime's socket, and what is done with what it tells. `Language` is what is spoken there:
/// [`DockerApi`](super::docker::DockerApi), [`ContainerdApi`](super::containerd::ContainerdApi) or
/// [`CriApi`](super::cri::CriApi).
pub struct Watcher<Language> {
    pub(super) pace: Pace,
    pub(super) source: Source,
    pub(super) socket: PathBuf,
    /// Which labels are kept: exact names, or a prefix and `*`.
    pub(super) label_filter: Vec<String>,
    pub(super) directory: Directory,
    language: PhantomData<fn() -> Language>,
}

/// One connection after the other.
pub trait Follow {
    /// Learns all there is to learn and follows the changes until something goes wrong.
    fn follow(&self) -> impl Future<Output = anyhow::Result<Infallible>> + Send;
}

impl<Language> Watcher<Language> {
    /// One that will keep `directory` in step with the runtime behind `socket`. `label_filter` says which labels are
    /// kept: exact names, or a prefix and `*`.
    #[must_use]
    pub fn new(source: Source, socket: PathBuf, label_filter: Vec<String>, directory: Directory) -> Self {
        Self { pace: PACE, source, socket, label_filter, directory, language: PhantomData }
    }

    /// With another pace.
    #[cfg(test)]
    pub(super) fn at(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// An answer in time.
    pub(super) async fn answer<T, E: Into<anyhow::Error>>(
        &self,
        question: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        self.pace.answer(&self.socket, question).await
    }
}

impl<Language> Watcher<Language>
where
    Self: Follow,
{
    /// Watches for ever: a runtime that is not there, hangs, restarts or talks nonsense is tried again with a growing
    /// pause, as is a watcher that panics; one that does not offer what it is asked for every minute.
    pub async fn watch(self) -> Infallible {
        let Self { pace, source, directory, .. } = &self;
        directory.register(*source);
        let name = source.runtime.as_str();
        let mut pause = pace.pause_min;
        loop {
            let begun = Instant::now();
            // A panic must not leave the runtime unwatched and shown as connected.
            let error = match AssertUnwindSafe(self.follow()).catch_unwind().await {
                Ok(Err(error)) => error,
                Err(panic) => anyhow::anyhow!("its watcher panicked: {}", panic_text(panic.as_ref())),
            };
            if error.is::<NotOffered>() {
                directory.unregister(*source);
                tracing::debug!("{name} does not offer what it was asked for");
                sleep(pace.not_offered).await;
                continue;
            }
            let reason = format!("{error:#}");
            if directory.set_connected(*source, Err(reason.clone())) {
                tracing::warn!("{name} is unreachable; names of new containers may be missing: {reason}");
            } else {
                tracing::debug!("{name} is still unreachable: {reason}");
            }
            if begun.elapsed() > pace.pause_max {
                pause = pace.pause_min;
            }
            sleep(pause).await;
            pause = (pause * 2).min(pace.pause_max);
        }
    }
}

/// Runs a task that never ends by itself; one that panics is started again after a pause that grows.
pub(super) async fn restarted<F: Future<Output = Infallible>>(
    name: &str,
    pace: Pace,
    task: impl Fn() -> F,
) -> Infallible {
    let mut pause = pace.pause_min;
    loop {
        let begun = Instant::now();
        let panic = match AssertUnwindSafe(task()).catch_unwind().await {
            Ok(never) => match never {},
            Err(panic) => panic,
        };
        tracing::error!("{name} panicked and is started again: {}", panic_text(panic.as_ref()));
        if begun.elapsed() > pace.pause_max {
            pause = pace.pause_min;
        }
        sleep(pause).await;
        pause = (pause * 2).min(pace.pause_max);
    }
}

/// What a panic says.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::snapshot::identity::Runtime;

    const HASTY: Pace = Pace {
        answer: Duration::from_millis(100),
        silence: Duration::from_millis(100),
        pause_min: Duration::from_millis(40),
        pause_max: Duration::from_millis(80),
        not_offered: Duration::from_millis(40),
    };

    /// Panics twice while connected, and works then.
    enum Clumsy {}

    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);

    impl Follow for Watcher<Clumsy> {
        async fn follow(&self) -> anyhow::Result<Infallible> {
            self.directory.set_connected(self.source, Ok(()));
            sleep(Duration::from_millis(5)).await;
            assert!(ATTEMPTS.fetch_add(1, Ordering::Relaxed) >= 2, "attempt fails");
            std::future::pending().await
        }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn a_watcher_that_panics_is_not_connected_until_it_works_again() {
        run(async {
            let directory = Directory::new();
            let watcher =
                Watcher::<Clumsy>::new(Runtime::Docker.into(), PathBuf::new(), Vec::new(), directory.clone());
            tokio::spawn(watcher.at(HASTY).watch());
            sleep(Duration::from_millis(25)).await;
            let (_, state) = directory.runtimes().remove(0);
            let reason = state.unwrap_err();
            assert!(reason.contains("panicked: attempt fails"), "{reason}");
            sleep(Duration::from_millis(400)).await;
            assert_eq!(directory.runtimes(), [(Runtime::Docker, Ok(()))]);
            assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 3);
        });
    }

    #[test]
    fn a_task_that_panics_is_started_again() {
        run(async {
            let starts = AtomicUsize::new(0);
            let task = restarted("a test", HASTY, async || {
                assert!(starts.fetch_add(1, Ordering::Relaxed) >= 2, "not yet");
                std::future::pending().await
            });
            assert!(timeout(Duration::from_millis(500), task).await.is_err());
            assert_eq!(starts.load(Ordering::Relaxed), 3);
        });
    }
}
