//! A problem in a web configuration: its position, its key and the remedy.

use std::fmt;

/// Keys of exporter-toolkit that the agent does not support, with the reason and the remedy.
const UNSUPPORTED: [(&str, &str); 8] = [
    ("cert", "certificates are read from files: use cert_file"),
    ("key", "keys are read from files: use key_file"),
    ("client_ca", "certificates are read from files: use client_ca_file"),
    ("client_allowed_sans", "use a CA in client_ca_file that issues certificates to scrapers only"),
    ("cipher_suites", "the agent always uses the safe cipher suites of rustls; remove the key"),
    ("prefer_server_cipher_suites", "the agent's own preference decides; remove the key"),
    ("curve_preferences", "the agent's own preference decides; remove the key"),
    (
        "rate_limit",
        "the agent limits connections (server.max_connections) and makes one response per tick; remove the key",
    ),
];

/// A problem in a web configuration.
#[derive(Debug)]
pub struct Problem {
    /// Line and column, from 1; `None` if the YAML parser does not report a position.
    position: Option<(u64, u64)>,
    /// The key with the keys above it; `None` if the file is not valid YAML.
    key: Option<String>,
    message: String,
}

impl Problem {
    pub(super) fn new(key: Option<String>, error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let position = error.location().map(|location| (location.line(), location.column()));
        // The parser appends the position, which is printed at the beginning.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().trim_end().to_owned();
        Self { position: position.filter(|(line, _)| *line > 0), key: key.filter(|key| key != "."), message }
    }

    /// The reason for which a key of exporter-toolkit is rejected.
    fn unsupported(&self) -> Option<&'static str> {
        let (_, rest) = self.message.split_once("unknown field `")?;
        let unknown = rest.split('`').next()?;
        UNSUPPORTED.iter().find(|(key, _)| *key == unknown).map(|(_, reason)| *reason)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        if let Some(key) = &self.key {
            write!(formatter, "key {key}: ")?;
        }
        formatter.write_str(&self.message)?;
        match self.unsupported() {
            Some(reason) => write!(formatter, "; {reason}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
