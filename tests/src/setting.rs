//! Settings of tests, which come from the environment.

use std::{env, time::Duration};

/// The seconds that a variable gives, or what is usual.
///
/// # Panics
/// If it is set to something else than whole seconds.
#[must_use]
pub fn seconds(variable: &str, usual: Duration) -> Duration {
    let Ok(text) = env::var(variable) else { return usual };
    let seconds = text.parse().unwrap_or_else(|error| panic!("{variable}={text:?}: {error}"));
    Duration::from_secs(seconds)
}
