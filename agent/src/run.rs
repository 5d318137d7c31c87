//! `glassbox run`: binds the listener, starts the runtime watchers and the tick, and serves until SIGTERM or SIGINT. SIGHUP
//! makes it read the configuration again ([`reload`]).
//!
//! The agent ends within a second after SIGTERM: open connections have 200 ms, meanwhile the tick thread detaches the kernel
//! programs. What takes longer is left to the end of the process, which closes everything, too.

mod reload;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};

use self::reload::Reload;
pub use self::reload::Source;
use crate::{
    collectors::disk,
    config::Config,
    containers::{metadata::MetadataStore, runtimes},
    exposition,
    sandbox::Sandbox,
    server::{self, exposure, web::Web},
    tick::{Configured, Engine, Snapshots, Waker},
};

/// Timeout for the tick thread to end after the last connection. The thread releases the kernel programs; if it does not,
/// the end of the process does.
const TICK_JOIN_TIMEOUT: Duration = Duration::from_millis(250);
/// Timeout for the I/O threads afterwards.
const IO_SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(50);

/// Runs the agent until SIGTERM or SIGINT. `web` is the web configuration that `config` names; `source` reads the
/// configuration again.
///
/// # Errors
/// The address is in use, this host has no cgroups, or the tick ends unexpectedly.
pub fn run(config: Config, web: Web, source: Source) -> anyhow::Result<()> {
    raise_file_limit();
    use_one_heap();
    // Before the first thread, so that every thread is restricted.
    let sandbox = Arc::new(Sandbox::enter(&config));
    let of_threads = Arc::clone(&sandbox);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Two, so that a thread that is busy with a runtime's response does not delay signals and scrapes.
        .worker_threads(2)
        // For encoding and compression, which all scrapes of one snapshot share, and for parsing large listings.
        .max_blocking_threads(4)
        .thread_name("glassbox-io")
        .on_thread_start(move || of_threads.restrict_thread())
        .enable_all()
        .build()
        .context("start the I/O threads")?;
    let outcome = runtime.block_on(serve(config, web, source, sandbox));
    // Work on a runtime's response must not delay the end of the agent.
    runtime.shutdown_timeout(IO_SHUTDOWN_TIMEOUT);
    outcome
}

/// Raises the limit on open files. Collectors keep about fifteen files open per container, so the usual limit of 1,024
/// does not suffice.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a live rlimit. If a call fails, the limit is unchanged, and collectors report
    // the files that they cannot open.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Makes all threads share one heap. glibc gives each thread its own heap, and `malloc_trim` returns the free end of
/// the first heap only: after a burst of 4,000 containers, 35 of 38 MB were free and stayed resident. Threads rarely
/// contend for the shared heap, because small blocks come from per-thread caches and there are only a few threads.
fn use_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions. No other thread has been started yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

async fn serve(config: Config, web: Web, source: Source, sandbox: Arc<Sandbox>) -> anyhow::Result<()> {
    // First, because the signals would otherwise end the process.
    let hangups = signal(SignalKind::hangup()).context("handle SIGHUP")?;
    let mut signalled = Box::pin(signalled().context("handle SIGTERM and SIGINT")?);
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(|error| {
        let remedy = server::address::remedy(&error);
        anyhow::Error::new(error).context(format!("listen on {} ({remedy})", config.listen))
    })?;
    let address = listener.local_addr().unwrap_or(config.listen);
    if config.demo {
        tracing::warn!("{}", exposition::DEMO);
    }
    sandbox.log();
    let settings = web.settings();
    for concern in settings.concerns(SystemTime::now()).into_iter().chain(exposure::of(address, &settings)) {
        tracing::warn!("{concern}");
    }
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let metadata = MetadataStore::new();
    let layer_sizes_period = config.is_on(disk::SPEC.name).then_some(*config.disk.period_s);
    runtimes::start(&config, &metadata, layer_sizes_period);
    let stop = Waker::new()?;
    let (ended, mut has_ended) = watch::channel(false);
    let (change_options, options) = watch::channel(server::Options::from(&config));
    let configured = watch::Sender::new(Configured::at_start(config.clone()));
    let changes = configured.subscribe();
    let (started, snapshots) = tokio::sync::oneshot::channel();
    let ticker = {
        let stop = stop.clone();
        std::thread::Builder::new()
            .name("glassbox-tick".into())
            .spawn(move || {
                let outcome = tick(config, changes, metadata, sandbox, &stop, started);
                ended.send_replace(true);
                outcome
            })
            .context("start the tick thread")?
    };
    let snapshots = tokio::select! { started = snapshots => started.ok(), () = &mut signalled => None };
    if let Some(snapshots) = snapshots {
        tracing::info!("listening on {scheme}://{address}");
        let reload = Reload { source, configured, options: change_options };
        let stopping = stop.clone();
        let until = async move {
            let ended = has_ended.wait_for(|ended| *ended);
            tokio::select! { () = signalled => (), _ = ended => () }
            // The tick ends while the server sends the last responses.
            stopping.wake();
        };
        let announced = announce(snapshots.clone());
        // On this thread, because the I/O threads may not be permitted to reach systemd's socket and to open files. Reloads
        // come after READY, because READY after a reload would otherwise precede the first snapshot.
        let announced = async {
            announced.await;
            reload.on_each(hangups).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = server::serve(listener, snapshots, options, web, until) => served?,
            () = announced => (),
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    stop.wake();
    let ticked = tokio::task::spawn_blocking(move || ticker.join());
    match timeout(TICK_JOIN_TIMEOUT, ticked).await {
        Ok(ticked) => ticked
            .context("wait for the tick thread")?
            .unwrap_or_else(|_| anyhow::bail!("the tick thread panicked")),
        Err(_) => {
            tracing::warn!(
                "the tick thread did not end within {TICK_JOIN_TIMEOUT:?}; the agent exits without it"
            );
            Ok(())
        }
    }
}

fn tick(
    config: Config,
    changes: watch::Receiver<Configured>,
    metadata: MetadataStore,
    sandbox: Arc<Sandbox>,
    stop: &Waker,
    started: tokio::sync::oneshot::Sender<Snapshots>,
) -> anyhow::Result<()> {
    let (mut engine, snapshots) = Engine::start(config, metadata)?;
    engine.follow(changes);
    engine.report_sandbox(sandbox);
    let _ = started.send(snapshots);
    engine.run(stop, || {
        // systemd restarts the agent if its ticks stop.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    })
}

/// Notifies systemd that the agent is ready when the first snapshot is published.
async fn announce(mut snapshots: Snapshots) {
    let Ok(Some(first)) = snapshots.wait_for(Option::is_some).await.map(|first| first.clone()) else {
        return;
    };
    let off: Vec<_> = first.agent.collectors.iter().filter(|status| !status.up).map(|s| s.name).collect();
    let demo = if first.agent.demo { "DEMO, " } else { "" };
    let off = if off.is_empty() { String::new() } else { format!("; off: {}", off.join(", ")) };
    let status = format!("{demo}{} containers{off}", first.agent.containers_running);
    tracing::info!("first snapshot: {status}");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(&status)]);
}

/// Handles SIGTERM and SIGINT from now on. The future ends when one of them arrives.
fn signalled() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    })
}
