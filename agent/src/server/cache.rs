//! One text per snapshot, view and encoding, made when it is first asked for and shared by all who ask.
//!
//! Whoever comes while it is made waits for it. Making it goes on where the client that asked leaves, so that
//! clients that come and go cannot pile up work.

use std::{io::Write as _, sync::Arc, time::Instant};

use anyhow::Context as _;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::page;
use crate::{
    exposition::{self, Scope, Text, registry::Registry},
    snapshot::Snapshot,
};

/// What can be made of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Every metric.
    Metrics,
    /// The metrics inherited from cAdvisor.
    Inherited,
    /// The page for people.
    Page,
}

/// The texts of the last snapshot that each was asked of.
pub(super) struct Cache {
    registry: Arc<Registry>,
    entries: [Entry; 3],
}

/// One view.
#[derive(Default)]
struct Entry {
    plain: Arc<Mutex<Made>>,
    gzip: Arc<Mutex<Made>>,
}

/// A text and what it was made of.
#[derive(Default)]
struct Made {
    /// The snapshot is kept, so that its address cannot be another's.
    of: Option<Arc<Snapshot>>,
    bytes: Bytes,
    text: Text,
}

impl Made {
    fn fresh(&self, snapshot: &Arc<Snapshot>) -> Option<Bytes> {
        let fresh = self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, snapshot));
        fresh.then(|| self.bytes.clone())
    }
}

impl Cache {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, entries: Default::default() }
    }

    /// The text of `snapshot`.
    pub(super) async fn plain(&self, snapshot: &Arc<Snapshot>, view: View) -> anyhow::Result<Bytes> {
        self.made(&self.entry(view).plain, snapshot, move |made, registry, snapshot| {
            // Dropped first: its buffer is then used again, where no client still reads it.
            made.bytes = Bytes::new();
            match view {
                View::Metrics => {
                    made.text.reserve();
                    exposition::encode(snapshot, Scope::All, &mut made.text);
                    registry.write(made.text.writer())?;
                    made.bytes = made.text.take();
                }
                View::Inherited => {
                    made.text.reserve();
                    exposition::encode(snapshot, Scope::Inherited, &mut made.text);
                    made.bytes = made.text.take();
                }
                View::Page => made.bytes = page::render(snapshot).into(),
            }
            Ok(())
        })
        .await
    }

    /// The same, compressed.
    pub(super) async fn gzip(&self, snapshot: &Arc<Snapshot>, view: View) -> anyhow::Result<Bytes> {
        let plain = self.plain(snapshot, view).await?;
        self.made(&self.entry(view).gzip, snapshot, move |made, _, _| {
            let room = Vec::with_capacity(made.bytes.len() + made.bytes.len() / 16);
            let mut gzip = GzEncoder::new(room, Compression::fast());
            gzip.write_all(&plain).context("compress")?;
            made.bytes = gzip.finish().context("compress")?.into();
            Ok(())
        })
        .await
    }

    fn entry(&self, view: View) -> &Entry {
        &self.entries[view as usize]
    }

    async fn made<F>(
        &self,
        made: &Arc<Mutex<Made>>,
        snapshot: &Arc<Snapshot>,
        make: F,
    ) -> anyhow::Result<Bytes>
    where
        F: FnOnce(&mut Made, &Registry, &Snapshot) -> anyhow::Result<()> + Send + 'static,
    {
        let mut guard: OwnedMutexGuard<Made> = Arc::clone(made).lock_owned().await;
        if let Some(bytes) = guard.fresh(snapshot) {
            return Ok(bytes);
        }
        let snapshot = Arc::clone(snapshot);
        let registry = Arc::clone(&self.registry);
        // The guard goes along: if this future is dropped, the text is finished and kept all the same.
        let making = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            guard.of = None;
            make(&mut guard, &registry, &snapshot)?;
            registry.encodes.inc();
            registry.encode_seconds.inc_by(started.elapsed().as_secs_f64());
            guard.of = Some(snapshot);
            Ok(guard.bytes.clone())
        });
        making.await.context("make the answer")?
    }
}
