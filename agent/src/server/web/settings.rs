//! The settings that one reading of the web configuration and its files gives.

use std::{path::Path, time::SystemTime};

use anyhow::Context as _;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{files::Watched, tls::Tls};
use crate::config::web::{Headers, Users, WebConfig};

/// The settings of the listener. The default is plain HTTP without passwords.
#[derive(Default)]
pub struct Settings {
    /// TLS; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// Users and their password hashes; empty if requests need no password.
    pub users: Users,
    /// Headers of every response.
    pub headers: HeaderMap,
}

/// An attempt to read settings.
pub(super) struct Attempt {
    /// The files as they were before they were read.
    pub(super) watched: Watched,
    pub(super) outcome: anyhow::Result<Settings>,
}

impl Settings {
    /// Reads the web configuration and the files that it names.
    pub(super) fn load(path: &Path) -> Attempt {
        let mut watched = Watched::default();
        watched.add(path);
        let config = match WebConfig::load(path) {
            Ok(config) => config,
            Err(error) => return Attempt { watched, outcome: Err(error.into()) },
        };
        if let Some(tls) = &config.tls {
            [Some(tls.cert_file.as_path()), Some(&tls.key_file), tls.client_ca_file()]
                .into_iter()
                .flatten()
                .for_each(|file| watched.add(file));
        }
        let outcome = Self::of(config).with_context(|| format!("apply web configuration {}", path.display()));
        Attempt { watched, outcome }
    }

    fn of(config: WebConfig) -> anyhow::Result<Self> {
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        Ok(Self { tls, users: config.users, headers: headers(&config.http.headers)? })
    }

    /// Whether every client must identify itself, by a password or by a certificate.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        !self.users.is_empty() || self.requires_client_certificate()
    }

    fn requires_client_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.requires_client_certificate)
    }

    /// What an operator should change, although the settings work.
    #[must_use]
    pub fn concerns(&self, now: SystemTime) -> Vec<String> {
        let Some(tls) = &self.tls else { return Vec::new() };
        #[expect(clippy::disallowed_methods, reason = "not an age: compared with a date in a certificate")]
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_s = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        tls.certificate.concern(now_s).into_iter().chain(tls.key_concern.clone()).collect()
    }

    /// The protection that `next` would remove. Removing it needs a restart: a truncated file must not open the listener.
    pub(super) fn removed_by(&self, next: &Self) -> Option<&'static str> {
        if self.tls.is_some() && next.tls.is_none() {
            Some("TLS (tls_server_config)")
        } else if !self.users.is_empty() && next.users.is_empty() {
            Some("all users (basic_auth_users)")
        } else if self.requires_client_certificate() && !next.requires_client_certificate() {
            Some("required client certificates (client_auth_type)")
        } else {
            None
        }
    }
}

fn headers(configured: &Headers) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in configured.iter() {
        let context = || format!("use the header {name} of http_server_config.headers");
        let value = HeaderValue::from_str(value).with_context(context)?;
        headers.insert(HeaderName::from_bytes(name.as_bytes()).with_context(context)?, value);
    }
    Ok(headers)
}
