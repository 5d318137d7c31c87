//! Reads the web configuration again when one of its files changes. The files are looked at once per second on a thread of
//! its own, so no connection waits for a slow disk, and because threads that serve connections may not be permitted to open
//! files (`sandbox`). A change takes effect when the files have been the same for two looks,
//! because a certificate and its key are never replaced at the same instant. A broken file is reported once, and the
//! previous settings stay in force.

use std::{
    future::pending,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use tokio::{sync::oneshot, time::sleep};

use super::{Settings, Web, settings::Attempt};
use crate::exposition::registry::Registry;

/// Time between two looks at the files.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Reads changed files. Never returns.
pub(in crate::server) async fn watch(web: Arc<Web>, registry: Arc<Registry>) {
    watch_every(LOOK_PERIOD, web, registry).await;
}

pub(super) async fn watch_every(period: Duration, web: Arc<Web>, registry: Arc<Registry>) {
    let Some(path) = &web.path else { return pending().await };
    show(&web.settings(), &registry);
    let reader = match Reader::start() {
        Ok(reader) => reader,
        Err(error) => {
            tracing::warn!(
                "changes of the web configuration are ignored: start the thread that reads it: {error}"
            );
            return pending().await;
        }
    };
    // The state that is in force, or has been rejected.
    let mut decided = web.first.clone();
    let mut last = decided.clone();
    loop {
        sleep(period).await;
        let files = last.clone();
        let Some(now) = reader.run(move || files.look()).await else { return pending().await };
        let is_settled = now == last;
        last = now;
        if !is_settled || last == decided {
            continue;
        }
        let attempt = reader.run({
            let path = path.clone();
            move || Settings::load(&path)
        });
        let Some(Attempt { watched, outcome }) = attempt.await else { return pending().await };
        (decided, last) = (watched.clone(), watched);
        let accepted = outcome.and_then(|next| match web.settings().removed_by(&next) {
            Some(removed) => anyhow::bail!(
                "the changed web configuration {} removes {removed}, which needs a restart of the agent",
                path.display()
            ),
            None => Ok(next),
        });
        match accepted {
            Ok(settings) => accept(&web, settings, path, &registry),
            Err(error) => {
                registry.set_web_config_reload(false);
                tracing::warn!(
                    "cannot use the changed web configuration: {error:#}; the previous certificate and users stay in force \
                     until the files are corrected"
                );
            }
        }
    }
}

fn accept(web: &Web, settings: Settings, path: &Path, registry: &Registry) {
    let settings = web.replace(settings);
    tracing::info!("read the changed web configuration {}", path.display());
    for concern in settings.concerns(SystemTime::now()) {
        tracing::warn!("{concern}");
    }
    show(&settings, registry);
}

fn show(settings: &Settings, registry: &Registry) {
    registry.set_web_config_reload(true);
    registry.set_certificate_expiry(settings.tls.as_ref().map(|tls| tls.certificate.expires_at_s));
}

type Work = Box<dyn FnOnce() + Send>;

/// The thread that reads files. It ends with this value.
struct Reader(mpsc::Sender<Work>);

impl Reader {
    /// Starts the thread. It inherits the restrictions of the calling thread, which must be permitted to open files.
    fn start() -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Work>();
        thread::Builder::new()
            .name("glassbox-web".into())
            .spawn(move || receiver.into_iter().for_each(|work| work()))?;
        Ok(Self(sender))
    }

    /// The result of work on the thread; `None` if the work, now or before, has panicked.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, result) = oneshot::channel();
        self.0.send(Box::new(move || drop(sender.send(work())))).ok()?;
        result.await.ok()
    }
}
