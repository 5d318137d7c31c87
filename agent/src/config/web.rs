//! The web configuration: TLS, basic authentication and response headers of the HTTP listener, in the YAML format of
//! Prometheus' exporter-toolkit, so that node_exporter and the agent can use the same file. Unknown keys, values that the
//! agent cannot honour and files larger than [`FILE_MAX_BYTES`](super::file::FILE_MAX_BYTES) are rejected. Password hashes
//! never appear in an error.

mod headers;
mod problem;
mod tls;
mod users;

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer};

use self::problem::Problem;
pub use self::{
    headers::Headers,
    tls::{ClientAuth, TlsServer, TlsVersion},
    users::{PasswordHash, Users},
};
use super::file;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// TLS; `None` for plain HTTP.
    #[serde(rename = "tls_server_config")]
    pub tls: Option<TlsServer>,
    /// Options of HTTP.
    #[serde(rename = "http_server_config", deserialize_with = "or_default")]
    pub http: HttpServer,
    /// Users and the hashes of their passwords. Without users, requests need no password.
    #[serde(rename = "basic_auth_users", deserialize_with = "or_default")]
    pub users: Users,
}

/// `http_server_config`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpServer {
    /// Must be false: the agent serves HTTP/1.1 only.
    #[serde(deserialize_with = "no_http2")]
    pub http2: bool,
    /// Headers that are added to every response.
    #[serde(deserialize_with = "or_default")]
    pub headers: Headers,
}

/// Why a web configuration was rejected. The message contains the file.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// The file could not be read.
    #[error("read web configuration {path} (named by server.web_config or --web-config)")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The file is not valid YAML, or contains an unknown key or an invalid value.
    #[error("check web configuration {path}")]
    Check {
        /// The file.
        path: PathBuf,
        /// The position and the problem.
        source: Box<Problem>,
    },
}

impl WebConfig {
    /// Reads and validates a file. The paths in the result are relative to the directory of the file, if they are not
    /// absolute.
    ///
    /// # Errors
    /// Returns a [`WebConfigError`] with the file, the line and the key.
    pub fn load(path: &Path) -> Result<Self, WebConfigError> {
        let read = file::read_regular(path).and_then(file::text);
        let text = read.map_err(|source| WebConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::parse(&text)
            .map_err(|source| WebConfigError::Check { path: path.to_owned(), source: Box::new(source) })?;
        if let (Some(tls), Some(directory)) = (&mut config.tls, path.parent()) {
            tls.resolve_paths(directory);
        }
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        // An error with a snippet would show password hashes.
        let options = serde_saphyr::options! { with_snippet: false };
        let mut key = None;
        let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            serde_path_to_error::deserialize::<_, Option<Self>>(deserializer).map_err(|error| {
                key = Some(error.path().to_string());
                error.into_inner()
            })
        });
        parsed.map(Option::unwrap_or_default).map_err(|error| Problem::new(key, &error))
    }
}

/// A key without a value is the default, as in exporter-toolkit.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn no_http2<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Option::<bool>::deserialize(deserializer)? {
        Some(true) => Err(serde::de::Error::custom(
            "true is not supported, because the agent serves HTTP/1.1 only; set it to false or remove the key",
        )),
        Some(false) | None => Ok(false),
    }
}

#[cfg(test)]
mod tests;
