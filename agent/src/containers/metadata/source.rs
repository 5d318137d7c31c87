//! The sources of metadata and their connection states.

use std::sync::{MutexGuard, PoisonError, atomic::Ordering};

use super::{MetadataStore, fields::cut};
use crate::{containers::source::Source, snapshot::identity::Runtime};

/// Maximum length of the reason why a runtime is not connected.
const REASON_BYTES: usize = 512;

/// A registered source.
#[derive(Debug)]
pub(super) struct Registered {
    source: Source,
    /// `None` until the first response or failure.
    state: Option<Result<(), String>>,
}

impl MetadataStore {
    /// Registers a source that will be queried. Called before its task is spawned.
    pub fn register(&self, source: impl Into<Source>) {
        let source = source.into();
        let mut runtimes = self.runtime_states();
        if !runtimes.iter().any(|registered| registered.source == source) {
            runtimes.push(Registered { source, state: None });
        }
    }

    /// Removes a source that does not support the API. It will not be queried for a long time, and is not shown as
    /// failed.
    pub fn unregister(&self, source: impl Into<Source>) {
        let source = source.into();
        self.runtime_states().retain(|registered| registered.source != source);
    }

    /// Records the connection state of a source. Returns true if the state has changed.
    pub fn set_connected(&self, source: impl Into<Source>, state: Result<(), String>) -> bool {
        let source = source.into();
        self.register(source);
        let state = state.map_err(|reason| cut(&reason, REASON_BYTES));
        let mut runtimes = self.runtime_states();
        let Some(registered) = runtimes.iter_mut().find(|registered| registered.source == source) else {
            return false;
        };
        let is_new = registered.state.as_ref().map(Result::is_ok) != Some(state.is_ok());
        registered.state = Some(state);
        is_new
    }

    /// The registered runtimes, each once, with the first error among their sockets.
    #[must_use]
    pub fn runtimes(&self) -> Vec<(Runtime, Result<(), String>)> {
        let mut all: Vec<(Runtime, Result<(), String>)> = Vec::new();
        for known in self.runtime_states().iter() {
            let state = known.state.clone().unwrap_or_else(|| Err("no response yet".to_owned()));
            match all.iter_mut().find(|(runtime, _)| *runtime == known.source.runtime) {
                Some((_, so_far)) if so_far.is_ok() => *so_far = state,
                Some(_) => {}
                None => all.push((known.source.runtime, state)),
            }
        }
        all
    }

    /// Records whether runtimes have left files that may contain metadata.
    pub fn set_files(&self, there: bool) {
        self.0.files.store(there, Ordering::Relaxed);
    }

    /// True if metadata of an unknown container may arrive in a moment.
    #[must_use]
    pub fn may_learn(&self) -> bool {
        self.0.files.load(Ordering::Relaxed) || self.any_connected()
    }

    /// True if a runtime is connected.
    #[must_use]
    pub fn any_connected(&self) -> bool {
        self.runtime_states().iter().any(|known| matches!(known.state, Some(Ok(()))))
    }

    /// True once every registered source has listed its containers or failed to.
    #[must_use]
    pub fn first_listing_done(&self) -> bool {
        self.runtime_states().iter().all(|known| known.state.is_some())
    }

    fn runtime_states(&self) -> MutexGuard<'_, Vec<Registered>> {
        self.0.runtimes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
