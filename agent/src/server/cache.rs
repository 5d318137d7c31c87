//! The response texts: one per snapshot, view and encoding, made on the first request and shared by all clients.
//!
//! Requests that arrive while a text is being made wait for it. The text is finished even if the client that requested
//! it disconnects, so that clients that connect and disconnect repeatedly cannot pile up work. The replaced text stays
//! in memory while clients read it, within the limit of [`Texts`].

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    api, page,
    table::Table,
    texts::{TextId, Texts},
};
use crate::{
    exposition::{self, Scope, Text, registry::Registry},
    snapshot::Snapshot,
};

/// The kinds of response made from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Every metric.
    Metrics,
    /// The metrics inherited from cAdvisor.
    Inherited,
    /// The containers as JSON.
    Containers,
    /// A page for people.
    Page(page::Request),
}

/// The most recent text of each view and encoding. The pages with unusual parameters share one entry, so that clients that
/// change the parameters cause the work of one request at a time, and the memory of one text.
pub(super) struct Cache {
    shared: Arc<Shared>,
    entries: [Entry; ENTRIES],
}

/// Entries: metrics, JSON, usual pages, and unusual ones.
const ENTRIES: usize = 3 + page::USUAL + 1;

/// What is needed to make a text, in addition to the snapshot.
struct Shared {
    registry: Arc<Registry>,
    texts: Arc<Texts>,
    connections: Arc<Table>,
}

/// A text that a response can send.
pub(super) type Sendable = (Bytes, Option<TextId>);

/// The texts of one view.
#[derive(Default)]
struct Entry {
    plain: Arc<Mutex<Made>>,
    gzip: Arc<Mutex<Made>>,
}

/// How long an unused text is kept.
const KEEP_UNUSED: Duration = Duration::from_secs(45);

/// A text and the snapshot from which it was made.
#[derive(Default)]
struct Made {
    /// When it was made.
    made_at: Option<Instant>,
    /// Keeps the snapshot alive, so that no other snapshot can get the same address.
    of: Option<Arc<Snapshot>>,
    view: Option<View>,
    bytes: Bytes,
    id: Option<TextId>,
    text: Text,
}

impl Made {
    fn fresh(&self, snapshot: &Arc<Snapshot>, view: &View) -> Option<Sendable> {
        let fresh =
            self.view.as_ref() == Some(view) && self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, snapshot));
        fresh.then(|| (self.bytes.clone(), self.id))
    }
}

impl Cache {
    pub(super) fn new(registry: Arc<Registry>, texts: Arc<Texts>, connections: Arc<Table>) -> Self {
        Self { shared: Arc::new(Shared { registry, texts, connections }), entries: Default::default() }
    }

    /// The text of a view, uncompressed.
    pub(super) async fn plain(&self, snapshot: &Arc<Snapshot>, view: &View) -> anyhow::Result<Sendable> {
        let wanted = view.clone();
        self.made(&self.entry(view).plain, snapshot, view, move |text, registry, snapshot| {
            let scope = match wanted {
                View::Page(request) => return Ok(page::render(snapshot, &request).into()),
                View::Containers => return Ok(api::containers(snapshot)?.into()),
                View::Metrics => Scope::All,
                View::Inherited => Scope::Inherited,
            };
            text.reserve();
            exposition::encode(snapshot, scope, text);
            if wanted == View::Metrics {
                registry.write(text.writer())?;
            }
            Ok(text.take())
        })
        .await
    }

    /// The text of a view, compressed.
    pub(super) async fn gzip(&self, snapshot: &Arc<Snapshot>, view: &View) -> anyhow::Result<Sendable> {
        let (plain, _) = self.plain(snapshot, view).await?;
        self.made(&self.entry(view).gzip, snapshot, view, move |_, _, _| {
            // Metrics text compresses to a tenth or less.
            let mut gzip = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
            gzip.write_all(&plain).context("compress the response")?;
            let mut compressed = gzip.finish().context("compress the response")?;
            compressed.shrink_to_fit();
            Ok(compressed.into())
        })
        .await
    }

    /// Drops texts that have not been requested for a while, and their snapshots.
    pub(super) fn forget_unused(&self) {
        for made in self.entries.iter().flat_map(|entry| [&entry.plain, &entry.gzip]) {
            // If the lock is taken, the text is being made, so it is in use.
            if let Ok(mut made) = made.try_lock()
                && made.made_at.is_some_and(|at| at.elapsed() > KEEP_UNUSED)
            {
                if let Some(id) = made.id {
                    self.shared.connections.cut_readers(&self.shared.texts.supersede(id));
                }
                *made = Made::default();
            }
        }
    }

    fn entry(&self, view: &View) -> &Entry {
        let place = match view {
            View::Metrics => 0,
            View::Inherited => 1,
            View::Containers => 2,
            View::Page(request) => 3 + request.usual().unwrap_or(page::USUAL),
        };
        // At most `page::USUAL` usual pages.
        &self.entries[place.min(ENTRIES - 1)]
    }

    async fn made<F>(
        &self,
        made: &Arc<Mutex<Made>>,
        snapshot: &Arc<Snapshot>,
        view: &View,
        make: F,
    ) -> anyhow::Result<Sendable>
    where
        F: FnOnce(&mut Text, &Registry, &Snapshot) -> anyhow::Result<Bytes> + Send + 'static,
    {
        let mut guard: OwnedMutexGuard<Made> = Arc::clone(made).lock_owned().await;
        if let Some(made) = guard.fresh(snapshot, view) {
            return Ok(made);
        }
        let (snapshot, view) = (Arc::clone(snapshot), view.clone());
        let shared = Arc::clone(&self.shared);
        // The task owns the guard, so it finishes and stores the text even if this future is dropped.
        let making = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            guard.of = None;
            // Dropped first so that its buffer can be reused, unless a client still reads it.
            guard.bytes = Bytes::new();
            if let Some(id) = guard.id.take() {
                shared.connections.cut_readers(&shared.texts.supersede(id));
            }
            let bytes = make(&mut guard.text, &shared.registry, &snapshot)?;
            shared.registry.encodes.inc();
            shared.registry.encode_seconds.inc_by(started.elapsed().as_secs_f64());
            let (bytes, id) = shared.texts.keep(bytes);
            (guard.bytes, guard.id) = (bytes.clone(), Some(id));
            (guard.of, guard.view) = (Some(snapshot), Some(view));
            guard.made_at = Some(Instant::now());
            Ok((bytes, Some(id)))
        });
        making.await.context("make the response")?
    }
}
