//! The web configuration in force: TLS, users and response headers. [`reload`] replaces it when a file changes;
//! connections and requests take the current [`Settings`].

mod certificate;
mod files;
mod local_verifier;
mod reload;
mod settings;
mod tls;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub(super) use self::reload::watch;
pub use self::{
    certificate::{Certificate, client_certificate},
    local_verifier::LocalVerifier,
    settings::Settings,
    tls::Tls,
};
use self::{files::Watched, settings::Attempt};

/// The web configuration and its files.
pub struct Web {
    /// `None` if there is no web configuration.
    path: Option<PathBuf>,
    current: Mutex<Arc<Settings>>,
    /// The files from which the first settings were read.
    first: Watched,
}

impl Web {
    /// No web configuration: plain HTTP without passwords.
    #[must_use]
    pub fn none() -> Self {
        Self { path: None, current: Mutex::default(), first: Watched::default() }
    }

    /// Reads a web configuration and the files that it names.
    ///
    /// # Errors
    /// A file cannot be read or used; the message contains the file, and the line and key if there is one.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::none()) };
        let Attempt { watched, outcome } = Settings::load(path);
        let settings = outcome?;
        Ok(Self { path: Some(path.to_owned()), current: Mutex::new(Arc::new(settings)), first: watched })
    }

    /// The current settings.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, settings: Settings) -> Arc<Settings> {
        let settings = Arc::new(settings);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&settings);
        settings
    }
}

#[cfg(test)]
mod tests;
