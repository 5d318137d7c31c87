//! SIGHUP: reads the configuration again. The keys of [`Config::adopt`] take effect at the next tick and with the next
//! connection; changes of all others are named in the log, because they need a restart. If the file is invalid, the
//! configuration in force stays, and glassbox_config_last_reload_successful is 0.
//!
//! systemd is notified as `Type=notify-reload` requires (systemd 253 and later).

use std::{sync::Arc, time::SystemTime};

use anyhow::{Context as _, anyhow};
use tokio::{
    signal::unix::Signal,
    sync::{oneshot, watch},
};

use crate::{
    config::{Config, changed_keys, log_filter},
    log_output::FilterHandle,
    server,
    snapshot::agent::ConfigStatus,
    tick::Configured,
};

/// Where a configuration comes from, and the log, which started before the agent.
pub struct Source {
    /// Reads the file, and applies the flags of the command line.
    pub load: Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>,
    /// The filter of the log.
    pub log: FilterHandle,
}

/// Distributes a configuration that was read again.
pub(super) struct Reload {
    pub(super) source: Source,
    pub(super) configured: watch::Sender<Configured>,
    pub(super) options: watch::Sender<server::Options>,
}

impl Reload {
    /// Reads the configuration after each signal. Signals that arrive meanwhile are one signal. Must run on a thread that
    /// may open files.
    pub(super) async fn on_each(self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            if let Ok(now) = sd_notify::NotifyState::monotonic_usec_now() {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Reloading, now]);
            }
            let status = match self.reload().await {
                Ok(()) => "configuration reloaded",
                Err(error) => {
                    self.configured.send_modify(|current| current.status.last_load_succeeded = false);
                    tracing::error!(
                        "cannot use the changed configuration: {error:#}; the previous one stays in force until the file is \
                         corrected and SIGHUP is sent again"
                    );
                    "invalid configuration, see the log; the previous one is in force"
                }
            };
            let status = sd_notify::NotifyState::Status(status);
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready, status]);
        }
    }

    async fn reload(&self) -> anyhow::Result<()> {
        let load = Arc::clone(&self.source.load);
        let (sender, read) = oneshot::channel();
        // On a thread of its own: the disk may be slow, and tokio's threads may not be permitted to open files.
        std::thread::Builder::new()
            .name("glassbox-config".into())
            .spawn(move || drop(sender.send(load())))
            .context("start the thread that reads the configuration")?;
        let read = read.await.context("read the configuration")??;
        let current = self.configured.borrow().config.clone();
        let mut next = current.clone();
        next.adopt(&read);
        let (applied, need_restart) = (changed_keys(&current, &next)?, changed_keys(&next, &read)?);
        if next.log != current.log {
            let filter = log_filter::parse(&next.log).map_err(|problem| anyhow!("log: {problem}"))?;
            self.source.log.replace(filter)?;
        }
        self.options.send_replace(server::Options::from(&next));
        let status = ConfigStatus { last_load_succeeded: true, loaded_at: SystemTime::now() };
        self.configured.send_replace(Configured { config: next, status });
        if applied.is_empty() {
            tracing::info!("read the configuration again: no key was changed that applies without a restart");
        } else {
            tracing::info!("read the configuration again: changed {}", applied.join(", "));
        }
        if !need_restart.is_empty() {
            tracing::warn!("restart the agent to apply these changed keys: {}", need_restart.join(", "));
        }
        Ok(())
    }
}
