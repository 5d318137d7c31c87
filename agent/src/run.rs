//! `glassbox run`: binds the listener, starts the runtimes' watchers and the tick, and serves until it is told to end.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{sync::watch, time::timeout};

use crate::{
    collectors::disk,
    config::Config,
    containers::{directory::Directory, runtimes},
    exposition, server,
    tick::{Engine, Snapshots, Waker},
};

/// How long the tick thread may take to end when it is told to; it releases the kernel programs, which the end of the
/// process does, too.
const TICK_PATIENCE: Duration = Duration::from_secs(1);
/// How long the I/O threads may take after that. With the HTTP server's half second the agent ends within 2 s.
const IO_PATIENCE: Duration = Duration::from_millis(200);

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// The address is taken, this host has no cgroups, or the tick ends by itself.
pub fn run(config: Config) -> anyhow::Result<()> {
    raise_file_limit();
    use_one_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Two, so that one that is busy with what a socket said does not hold up signals and scrapes.
        .worker_threads(2)
        // Encoding and compression, of which scrapes of one snapshot share one each, and reading large listings.
        .max_blocking_threads(4)
        .thread_name("glassbox-io")
        .enable_all()
        .build()
        .context("start the I/O threads")?;
    let outcome = runtime.block_on(serve(config));
    // Whatever a runtime's socket has the I/O threads do must not hold up the end.
    runtime.shutdown_timeout(IO_PATIENCE);
    outcome
}

/// Collectors keep some fifteen files open for each container, more in all than the 1,024 that a shell allows.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a live rlimit. A refusal leaves the limit as it was, and collectors then
    // report the files that they could not open.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// glibc gives each thread a heap of its own, and `malloc_trim` does not return the free end of any but the first: after
/// a storm of 4,000 containers 35 of 38 MB were free and stayed resident. Threads seldom wait for each other here: small
/// blocks come from their own caches, and there are a handful of threads.
fn use_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; there is one thread as yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(|error| {
        let remedy = server::address::remedy(&error);
        anyhow::Error::new(error).context(format!("listen on {} ({remedy})", config.listen))
    })?;
    let address = listener.local_addr().unwrap_or(config.listen);
    if config.demo {
        tracing::warn!("{}", exposition::DEMO);
    }
    let directory = Directory::new();
    let layer_sizes_period = config.is_on(disk::SPEC.name).then_some(*config.disk.period_s);
    runtimes::start(&config, &directory, layer_sizes_period);
    let stop = Waker::new()?;
    let (ended, mut has_ended) = watch::channel(false);
    let options = server::Options::from(&config);
    let (started, snapshots) = tokio::sync::oneshot::channel();
    let ticker = {
        let stop = stop.clone();
        std::thread::Builder::new()
            .name("glassbox-tick".into())
            .spawn(move || {
                let outcome = tick(config, directory, &stop, started);
                ended.send_replace(true);
                outcome
            })
            .context("start the tick thread")?
    };
    if let Ok(snapshots) = snapshots.await {
        tracing::info!("listening on http://{address}");
        announce(snapshots.clone());
        let stopping = stop.clone();
        let until = async move {
            let ended = has_ended.wait_for(|ended| *ended);
            tokio::select! { () = signalled() => (), _ = ended => () }
            // The tick ends while the last responses are sent.
            stopping.wake();
        };
        server::serve(listener, snapshots, options, until).await?;
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    stop.wake();
    let ticked = tokio::task::spawn_blocking(move || ticker.join());
    match timeout(TICK_PATIENCE, ticked).await {
        Ok(ticked) => ticked
            .context("wait for the tick thread")?
            .unwrap_or_else(|_| anyhow::bail!("the tick thread panicked")),
        Err(_) => {
            tracing::warn!(
                "the tick thread did not end within {TICK_PATIENCE:?}; the agent exits without it"
            );
            Ok(())
        }
    }
}

fn tick(
    config: Config,
    directory: Directory,
    stop: &Waker,
    started: tokio::sync::oneshot::Sender<Snapshots>,
) -> anyhow::Result<()> {
    let (mut engine, snapshots) = Engine::start(config, directory)?;
    let _ = started.send(snapshots);
    engine.run(stop, || {
        // systemd restarts an agent whose ticks stop.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    })
}

/// Tells systemd, once the first snapshot is there, that the agent is ready.
fn announce(mut snapshots: Snapshots) {
    tokio::spawn(async move {
        let Ok(first) = snapshots.wait_for(Option::is_some).await.map(|first| first.clone()) else {
            return;
        };
        let Some(first) = first.map(|first: Arc<_>| first) else {
            return;
        };
        let off: Vec<_> = first.agent.collectors.iter().filter(|status| !status.up).map(|s| s.name).collect();
        let demo = if first.agent.demo { "DEMO, " } else { "" };
        let off = if off.is_empty() { String::new() } else { format!("; off: {}", off.join(", ")) };
        let status = format!("{demo}{} containers{off}", first.agent.containers_running);
        tracing::info!("first snapshot: {status}");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(&status)]);
    });
}

fn signalled() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    async {
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
            }
            // Without handlers the default action ends the process, which is as good.
            _ => std::future::pending().await,
        }
    }
}
