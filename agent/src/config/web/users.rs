//! `basic_auth_users`: user names and the bcrypt hashes of their passwords.

use std::{collections::BTreeMap, fmt, str::FromStr as _};

use serde::{Deserialize, Deserializer, de::Error as _};

/// The users, by name.
pub type Users = BTreeMap<String, PasswordHash>;

/// Maximum cost of a hash. One comparison at this cost takes about a second, and the time doubles with each step.
const COST_MAX: u32 = 14;
/// Minimum cost of a hash, from bcrypt.
const COST_MIN: u32 = 4;

/// The bcrypt hash of a password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash, such as `$2y$10$…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash")
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = bcrypt::HashParts::from_str(&text).map_err(|_| {
            D::Error::custom("the value is not a bcrypt hash; make one with `htpasswd -nBC 10 USER`")
        })?;
        let cost = parts.get_cost();
        if !(COST_MIN..=COST_MAX).contains(&cost) {
            return Err(D::Error::custom(format!(
                "the cost {cost} of the bcrypt hash is outside the range {COST_MIN} to {COST_MAX}; make a hash with \
                 `htpasswd -nBC 10 USER`"
            )));
        }
        Ok(Self(text))
    }
}
