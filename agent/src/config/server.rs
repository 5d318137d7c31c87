//! `[server]`: the limits of the HTTP listener.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::bounded::{Bounded, Millis};

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Most HTTP connections at a time.
    pub max_connections: Bounded<usize, 1, 4096>,
    /// How long a client may take to send a request's head.
    pub header_timeout_ms: Millis<100, 60_000>,
    /// How long a client may take without reading anything of a response.
    pub write_timeout_ms: Millis<100, 300_000>,
    /// How long a response may take in all.
    pub response_timeout_ms: Millis<100, 600_000>,
    /// Most bytes of earlier responses that clients have not read yet.
    pub max_unread_bytes: Bounded<usize, { 1 << 20 }, { 1 << 30 }>,
    /// Host names that requests may name beside `localhost` and IP addresses. On a loopback listener all others are
    /// refused, on others only if there is one here.
    #[serde(deserialize_with = "host_names")]
    pub allowed_hosts: Vec<String>,
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
        }
    }
}

/// Host names as a request's `Host` has them, without a port.
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
