//! Identities of jobs.

use super::json::Value;

/// The ID of a job, which the server chooses: a random UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EventId(u128);

impl EventId {
    /// Reads 32 hexadecimal digits.
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(Self)
    }

    /// Reads a JSON value.
    pub(super) fn of(value: Value<'_>) -> Option<Self> {
        let Value::Text(digits) = value else { return None };
        Self::parse(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_hexadecimal_digits_are_an_id() {
        assert_eq!(EventId::parse(&[b'0'; 32]), Some(EventId(0)));
        for wrong in ["", "0", "+0000000000000000000000000000000", "0000000000000000000000000000000g"] {
            assert_eq!(EventId::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(EventId::parse(&[b'0'; 33]), None);
    }
}
