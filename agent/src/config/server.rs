//! `[server]`: the limits of the HTTP listener.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::bounded::{Bounded, Millis};

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Maximum number of concurrent HTTP connections.
    pub max_connections: Bounded<usize, 1, 4096>,
    /// Timeout for a client to send the head of a request.
    pub header_timeout_ms: Millis<100, 60_000>,
    /// Timeout for a client that reads nothing of a response.
    pub write_timeout_ms: Millis<100, 300_000>,
    /// Timeout for a whole response.
    pub response_timeout_ms: Millis<100, 600_000>,
    /// Maximum number of bytes of earlier responses that clients have not read yet.
    pub max_unread_bytes: Bounded<usize, { 1 << 20 }, { 1 << 30 }>,
    /// Host names that requests may use in addition to `localhost` and IP addresses. A loopback listener rejects all
    /// other names; a listener on other addresses does so only if this list is not empty.
    #[serde(deserialize_with = "host_names")]
    pub allowed_hosts: Vec<String>,
    /// The web configuration: TLS and basic authentication; empty for neither.
    pub web_config: PathBuf,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            max_connections: 64.into(),
            header_timeout_ms: Duration::from_secs(5).into(),
            write_timeout_ms: Duration::from_secs(10).into(),
            response_timeout_ms: Duration::from_secs(30).into(),
            max_unread_bytes: (32 << 20).into(),
            allowed_hosts: Vec::new(),
            web_config: PathBuf::new(),
        }
    }
}

impl Server {
    /// The web configuration; `None` if there is none.
    #[must_use]
    pub fn web_config(&self) -> Option<&Path> {
        (!self.web_config.as_os_str().is_empty()).then_some(&self.web_config)
    }
}

/// Host names as in a request's `Host` header, without a port.
fn host_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let plain = |name: &String| {
        !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(D::Error::custom(format!(
            "{name:?} is not a host name, such as \"metrics.example.org\" (without a port)"
        ))),
        None => Ok(names),
    }
}
