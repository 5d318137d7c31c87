//! Numbers with a range. The range is checked when a configuration file is read, but not when code creates a value.

use std::{fmt::Display, ops::Deref, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

fn within<E: serde::de::Error>(value: u64, least: u64, most: u64) -> Result<u64, E> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(E::custom(format!("{value} is outside the range {least} to {most}")))
    }
}

/// A number with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<T, const LEAST: u64, const MOST: u64>(T);

impl<T, const LEAST: u64, const MOST: u64> From<T> for Bounded<T, LEAST, MOST> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T, const LEAST: u64, const MOST: u64> Deref for Bounded<T, LEAST, MOST> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize, const LEAST: u64, const MOST: u64> Serialize for Bounded<T, LEAST, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T, const LEAST: u64, const MOST: u64> Deserialize<'de> for Bounded<T, LEAST, MOST>
where
    T: Copy + Deserialize<'de> + TryInto<u64, Error: Display>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = T::deserialize(deserializer)?;
        within(value.try_into().map_err(D::Error::custom)?, LEAST, MOST)?;
        Ok(Self(value))
    }
}

/// Declares a duration type with a unit and a range.
macro_rules! times {
    ($($(#[$attribute:meta])* $name:ident: $from:ident, $to:expr;)+) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<const LEAST: u64, const MOST: u64>(Duration);

        impl<const LEAST: u64, const MOST: u64> From<Duration> for $name<LEAST, MOST> {
            fn from(time: Duration) -> Self {
                Self(time)
            }
        }

        impl<const LEAST: u64, const MOST: u64> Deref for $name<LEAST, MOST> {
            type Target = Duration;

            fn deref(&self) -> &Duration {
                &self.0
            }
        }

        impl<const LEAST: u64, const MOST: u64> Serialize for $name<LEAST, MOST> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let to: fn(&Duration) -> u64 = $to;
                serializer.serialize_u64(to(&self.0))
            }
        }

        impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for $name<LEAST, MOST> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                within(u64::deserialize(deserializer)?, LEAST, MOST).map(Duration::$from).map(Self)
            }
        }
    )+ };
}

times! {
    /// A duration in whole milliseconds.
    Millis: from_millis, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    /// A duration in whole seconds.
    Seconds: from_secs, Duration::as_secs;
}
