//! Settings of tests from environment variables.

use std::{env, time::Duration};

/// The seconds in a variable, or a default.
///
/// # Panics
/// If it is not a whole number of seconds.
#[must_use]
pub fn seconds(variable: &str, usual: Duration) -> Duration {
    let Ok(text) = env::var(variable) else { return usual };
    let seconds = text.parse().unwrap_or_else(|error| panic!("{variable}={text:?}: {error}"));
    Duration::from_secs(seconds)
}
