//! Remembers correct passwords as keyed hashes. The key is random and never leaves the process, and the number of hashes is
//! limited. A changed password hash makes the remembered password invalid, because it is part of the keyed hash.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use ring::{hmac, rand::SystemRandom};
use subtle::{Choice, ConstantTimeEq as _};

use crate::config::web::PasswordHash;

/// Maximum number of remembered passwords; the oldest is forgotten.
const TAGS_MAX: usize = 64;

/// The keyed hash of a user, its password hash and a password.
#[derive(Clone, Copy)]
pub(super) struct Tag([u8; 32]);

/// The remembered passwords.
pub(super) struct Accepted {
    key: hmac::Key,
    tags: Mutex<VecDeque<Tag>>,
}

impl Accepted {
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new() -> anyhow::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .ok()
            .context("make a random key for remembered passwords")?;
        Ok(Self { key, tags: Mutex::default() })
    }

    /// The tag of a user and password.
    pub(super) fn tag(&self, user: &str, hash: &PasswordHash, password: &[u8]) -> Tag {
        self.digest(&[user.as_bytes(), hash.as_str().as_bytes(), password])
    }

    /// A number for a name that cannot be computed outside of this process.
    pub(super) fn number(&self, name: &str) -> u64 {
        let Tag(bytes) = self.digest(&[name.as_bytes()]);
        bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Whether a password was correct. Takes the same time for every tag.
    pub(super) fn contains(&self, tag: &Tag) -> bool {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.iter().fold(Choice::from(0), |found, known| found | known.0.ct_eq(&tag.0)).into()
    }

    pub(super) fn insert(&self, tag: Tag) {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.len() >= TAGS_MAX {
            tags.pop_front();
        }
        tags.push_back(tag);
    }

    fn digest(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            // With its length, no part can continue in the next one.
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        Tag(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_depends_on_every_part_and_their_boundaries() {
        let accepted = Accepted::new().unwrap();
        let of =
            |parts: &[&str]| accepted.digest(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>()).0;
        assert_eq!(of(&["a", "h", "p"]), of(&["a", "h", "p"]));
        for other in [["b", "h", "p"], ["a", "i", "p"], ["a", "h", "q"], ["ah", "", "p"], ["a", "", "hp"]] {
            assert_ne!(of(&["a", "h", "p"]), of(&other), "{other:?}");
        }
        assert_ne!(of(&["a"]), Accepted::new().unwrap().digest(&[b"a"]).0, "the key is not random");
    }

    #[test]
    fn the_number_of_remembered_passwords_is_limited() {
        let accepted = Accepted::new().unwrap();
        let tag = |number: usize| accepted.digest(&[&number.to_le_bytes()]);
        (0..=TAGS_MAX).for_each(|number| accepted.insert(tag(number)));
        assert!(
            !accepted.contains(&tag(0)) && accepted.contains(&tag(1)) && accepted.contains(&tag(TAGS_MAX))
        );
        assert_eq!(accepted.tags.lock().unwrap().len(), TAGS_MAX);
    }
}
