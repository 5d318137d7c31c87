//! Basic authentication: passwords are compared with bcrypt hashes.
//!
//! - A comparison takes a tenth of a second by design, so it runs on a blocking thread, one at a time, and the number of
//!   waiting requests is limited ([`attempts`]).
//! - After a wrong password, the next comparison waits four times as long as the last one took. A flood of wrong passwords
//!   therefore uses at most a fifth of a CPU.
//! - Correct passwords are remembered ([`accepted`]), so a scraper pays for one comparison only and does not wait for others.
//! - An unknown user is compared with the hash of another user, so response times do not reveal which users exist.

mod accepted;
mod attempts;

use std::{net::IpAddr, sync::Arc, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::header::{AUTHORIZATION, HeaderMap};

use self::{accepted::Accepted, attempts::Attempts};
use crate::config::web::{PasswordHash, Users};

/// The pause after a wrong password, in durations of its comparison.
const PAUSE_FACTOR: u32 = 4;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// It has no user and password.
    Missing,
    /// The user is unknown, or the password is wrong.
    Wrong,
    /// Too many passwords are waiting for their comparison.
    Busy,
}

/// Compares passwords, and remembers the correct ones.
pub(super) struct Authenticator {
    accepted: Arc<Accepted>,
    attempts: Attempts,
}

impl Authenticator {
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { accepted: Arc::new(Accepted::new()?), attempts: Attempts::new() })
    }

    /// Checks the user and password in the headers of a request from `client`.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        users: &Users,
        client: Option<IpAddr>,
    ) -> Result<(), Denial> {
        let (user, password) = credentials(headers).ok_or(Denial::Missing)?;
        let known = users.get(&user);
        let Some(hash) = known.or_else(|| self.stand_in(users, &user)).cloned() else {
            return Err(Denial::Wrong);
        };
        let is_known = known.is_some();
        let tag = self.accepted.tag(&user, &hash, &password);
        if is_known && self.accepted.contains(&tag) {
            return Ok(());
        }
        let turn = self.attempts.turn(client).await.ok_or(Denial::Busy)?;
        if is_known && self.accepted.contains(&tag) {
            // Another request with the same password was compared in the meantime.
            return Ok(());
        }
        let accepted = Arc::clone(&self.accepted);
        // The comparison owns its turn, so clients that disconnect cannot start comparisons at the same time.
        let compared = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let is_equal = bcrypt::verify(&password, hash.as_str()).unwrap_or(false);
            if is_known && is_equal {
                accepted.insert(tag);
                return true;
            }
            turn.release_after(started.elapsed() * PAUSE_FACTOR);
            false
        });
        if compared.await.unwrap_or(false) { Ok(()) } else { Err(Denial::Wrong) }
    }

    /// The hash with which the password of an unknown user is compared, always the same for a name.
    fn stand_in<'a>(&self, users: &'a Users, user: &str) -> Option<&'a PasswordHash> {
        let number = usize::try_from(self.accepted.number(user)).unwrap_or(0);
        users.values().nth(number.checked_rem(users.len())?)
    }
}

/// The user and password of a request.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests;
