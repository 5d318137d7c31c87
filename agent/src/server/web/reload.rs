//! Reads the web configuration again when one of its files changes. The files are looked at once per second on a blocking
//! thread, so no connection waits for a slow disk. A change takes effect when the files have been the same for two looks,
//! because a certificate and its key are never replaced at the same instant. A broken file is reported once, and the
//! previous settings stay in force.

use std::{
    future::pending,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

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
    // The state that is in force, or has been rejected.
    let mut decided = web.first.clone();
    let mut last = decided.clone();
    loop {
        sleep(period).await;
        let files = last.clone();
        let Some(now) = blocking(move || files.look()).await else { return pending().await };
        let is_settled = now == last;
        last = now;
        if !is_settled || last == decided {
            continue;
        }
        let attempt = blocking({
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

/// The result of blocking work; `None` if the agent ends or the work has panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
