//! `http_server_config.headers`: headers that are added to every response. exporter-toolkit allows five, and so does the
//! agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};

/// The allowed headers, and the allowed values of each; empty if any value is allowed.
const ALLOWED: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// The headers, by name. Their names and values are valid in HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// The names and values. A header with an empty value is left out, as documented by exporter-toolkit.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(_, value)| !value.is_empty())
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let headers = BTreeMap::<String, String>::deserialize(deserializer)?;
        for (name, value) in &headers {
            let Some((_, values)) = ALLOWED.iter().find(|(allowed, _)| allowed == name) else {
                let allowed = ALLOWED.map(|(name, _)| name).join(", ");
                return Err(D::Error::custom(format!("{name:?} cannot be set; only {allowed} are allowed")));
            };
            if !values.is_empty() && !values.contains(&value.as_str()) {
                return Err(D::Error::custom(format!(
                    "{value:?} is not allowed for {name}; use {}",
                    values.join(" or ")
                )));
            }
            if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                return Err(D::Error::custom(format!(
                    "{value:?} is not allowed for {name}; use printable ASCII"
                )));
            }
        }
        Ok(Self(headers))
    }
}
