//! An agent that tests use one after another. The verifier takes seconds for the programs of `requests` on the emulated CPUs
//! of a guest, at each start.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
    thread,
};

use glassbox::{
    config::Config,
    containers::metadata::MetadataStore,
    tick::{Engine, Snapshots},
};

/// The agent that no test uses now.
static IDLE: Mutex<Option<(Engine, Snapshots)>> = Mutex::new(None);

fn take() -> Option<(Engine, Snapshots)> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Starts an agent. An idle one ends first: two of them see each other's work.
pub(super) fn start(config: Config) -> (Engine, Snapshots) {
    drop(take());
    Engine::start(config, MetadataStore::new()).unwrap_or_else(|error| panic!("{error:#}"))
}

/// The agent of one test.
pub(super) struct Lent {
    engine: Option<Engine>,
    /// Where it publishes; only of an agent that other tests use as well.
    shared: Option<Snapshots>,
}

impl Lent {
    /// An agent that ends with the test.
    pub(super) const fn own(engine: Engine) -> Self {
        Self { engine: Some(engine), shared: None }
    }

    /// An agent with this configuration, which is the same in all tests that call this.
    pub(super) fn shared(config: Config) -> (Self, Snapshots) {
        let (engine, snapshots) = take().unwrap_or_else(|| start(config));
        (Self { engine: Some(engine), shared: Some(snapshots.clone()) }, snapshots)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(engine), Some(snapshots), false) =
            (self.engine.take(), self.shared.take(), thread::panicking())
        {
            *IDLE.lock().unwrap_or_else(PoisonError::into_inner) = Some((engine, snapshots));
        }
    }
}

impl Deref for Lent {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.engine.as_ref().expect("an engine until the drop")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("an engine until the drop")
    }
}
