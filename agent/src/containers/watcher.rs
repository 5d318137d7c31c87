//! The part of watching a runtime that all APIs share: connects to one socket, reconnects after growing pauses, and
//! reports the connection state to the [`MetadataStore`] and, once, to the log. Costs one timer while disconnected.

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

use super::metadata::MetadataStore;
use crate::containers::source::Source;

/// Timeouts and pauses of a watcher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// Timeout of a response.
    pub(super) answer: Duration,
    /// After this time without data, the watcher checks that the runtime still responds.
    pub(super) idle: Duration,
    /// The first pause before reconnecting. Each further pause is twice as long.
    pub(super) backoff_min: Duration,
    /// The longest pause. A connection that lasted longer resets the pause to `backoff_min`.
    pub(super) backoff_max: Duration,
    /// The pause before a retry if the runtime does not support the API.
    pub(super) unsupported_retry: Duration,
}

pub(super) const TIMEOUTS: Timeouts = Timeouts {
    answer: Duration::from_secs(5),
    idle: Duration::from_secs(30),
    backoff_min: Duration::from_millis(250),
    backoff_max: Duration::from_secs(5),
    unsupported_retry: Duration::from_secs(60),
};

impl Timeouts {
    /// Awaits a response from `socket` until the timeout.
    pub(super) async fn answer<T, E: Into<anyhow::Error>>(
        &self,
        socket: &Path,
        request: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        let response = timeout(self.answer, request).await;
        response
            .with_context(|| format!("no response from {} within {:?}", socket.display(), self.answer))?
            .map_err(Into::into)
    }
}

/// The runtime responds but does not support the API, such as containerd without its Kubernetes plugin.
#[derive(Debug)]
pub(super) struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not supported")
    }
}

impl std::error::Error for Unsupported {}

/// Watches the socket of a runtime and stores what the runtime reports. `Api` is the API:
/// [`DockerApi`](super::docker::DockerApi), [`ContainerdApi`](super::containerd::ContainerdApi) or
/// [`CriApi`](super::cri::CriApi).
pub struct RuntimeWatcher<Api> {
    pub(super) timeouts: Timeouts,
    pub(super) source: Source,
    pub(super) socket: PathBuf,
    /// The labels to keep: exact names, or prefixes followed by `*`.
    pub(super) label_filter: Vec<String>,
    pub(super) metadata: MetadataStore,
    api: PhantomData<fn() -> Api>,
}

/// The client of one runtime API.
pub trait RuntimeClient {
    /// Connects, lists all containers, and follows their changes until an error occurs.
    fn follow(&self) -> impl Future<Output = anyhow::Result<Infallible>> + Send;
}

impl<Api> RuntimeWatcher<Api> {
    /// Creates a watcher that updates `metadata` from the runtime behind `socket`. `label_filter` has the labels to
    /// keep: exact names, or prefixes followed by `*`.
    #[must_use]
    pub fn new(source: Source, socket: PathBuf, label_filter: Vec<String>, metadata: MetadataStore) -> Self {
        Self { timeouts: TIMEOUTS, source, socket, label_filter, metadata, api: PhantomData }
    }

    /// Replaces the timeouts.
    #[cfg(test)]
    pub(super) fn at(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Awaits a response until the timeout.
    pub(super) async fn answer<T, E: Into<anyhow::Error>>(
        &self,
        request: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        self.timeouts.answer(&self.socket, request).await
    }
}

impl<Api> RuntimeWatcher<Api>
where
    Self: RuntimeClient,
{
    /// Watches forever. If the runtime is missing, hangs, restarts or sends invalid data, or if the watcher panics, it
    /// reconnects after a growing pause. If the runtime does not support the API, it retries every minute.
    pub async fn watch(self) -> Infallible {
        let Self { timeouts, source, metadata, .. } = &self;
        metadata.register(*source);
        let name = source.runtime.as_str();
        let mut pause = timeouts.backoff_min;
        loop {
            let begun = Instant::now();
            // After a panic, the runtime must neither stay unwatched nor be shown as connected.
            let error = match AssertUnwindSafe(self.follow()).catch_unwind().await {
                Ok(Err(error)) => error,
                Err(panic) => anyhow::anyhow!("its watcher panicked: {}", panic_text(panic.as_ref())),
            };
            if error.is::<Unsupported>() {
                metadata.unregister(*source);
                tracing::debug!("{name} does not support this API");
                sleep(timeouts.unsupported_retry).await;
                continue;
            }
            let reason = format!("{error:#}");
            if metadata.set_connected(*source, Err(reason.clone())) {
                tracing::warn!("{name} is unreachable; names of new containers may be missing: {reason}");
            } else {
                tracing::debug!("{name} is still unreachable: {reason}");
            }
            if begun.elapsed() > timeouts.backoff_max {
                pause = timeouts.backoff_min;
            }
            sleep(pause).await;
            pause = (pause * 2).min(timeouts.backoff_max);
        }
    }
}

/// Runs a task that never ends by itself. If the task panics, it is restarted after a growing pause.
pub(super) async fn restarted<F: Future<Output = Infallible>>(
    name: &str,
    timeouts: Timeouts,
    task: impl Fn() -> F,
) -> Infallible {
    let mut pause = timeouts.backoff_min;
    loop {
        let begun = Instant::now();
        let panic = match AssertUnwindSafe(task()).catch_unwind().await {
            Ok(never) => match never {},
            Err(panic) => panic,
        };
        tracing::error!("{name} panicked and will be restarted: {}", panic_text(panic.as_ref()));
        if begun.elapsed() > timeouts.backoff_max {
            pause = timeouts.backoff_min;
        }
        sleep(pause).await;
        pause = (pause * 2).min(timeouts.backoff_max);
    }
}

/// The message of a panic.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::snapshot::identity::Runtime;

    const SHORT_TIMEOUTS: Timeouts = Timeouts {
        answer: Duration::from_millis(100),
        idle: Duration::from_millis(100),
        backoff_min: Duration::from_millis(40),
        backoff_max: Duration::from_millis(80),
        unsupported_retry: Duration::from_millis(40),
    };

    /// Panics on its first two connections, then works.
    enum Clumsy {}

    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);

    impl RuntimeClient for RuntimeWatcher<Clumsy> {
        async fn follow(&self) -> anyhow::Result<Infallible> {
            self.metadata.set_connected(self.source, Ok(()));
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
            let metadata = MetadataStore::new();
            let watcher = RuntimeWatcher::<Clumsy>::new(
                Runtime::Docker.into(),
                PathBuf::new(),
                Vec::new(),
                metadata.clone(),
            );
            tokio::spawn(watcher.at(SHORT_TIMEOUTS).watch());
            sleep(Duration::from_millis(25)).await;
            let (_, state) = metadata.runtimes().remove(0);
            let reason = state.unwrap_err();
            assert!(reason.contains("panicked: attempt fails"), "{reason}");
            sleep(Duration::from_millis(400)).await;
            assert_eq!(metadata.runtimes(), [(Runtime::Docker, Ok(()))]);
            assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 3);
        });
    }

    #[test]
    fn a_task_that_panics_is_restarted() {
        run(async {
            let starts = AtomicUsize::new(0);
            let task = restarted("a test", SHORT_TIMEOUTS, async || {
                assert!(starts.fetch_add(1, Ordering::Relaxed) >= 2, "not yet");
                std::future::pending().await
            });
            assert!(timeout(Duration::from_millis(500), task).await.is_err());
            assert_eq!(starts.load(Ordering::Relaxed), 3);
        });
    }
}
