//! Writing labels and values.

use std::time::Duration;

use bytes::{BufMut as _, BytesMut};

use crate::exposition::sample::Value;

/// Appends `parts`.
pub(super) fn put(out: &mut BytesMut, parts: &[&str]) {
    for part in parts {
        out.put_slice(part.as_bytes());
    }
}

/// Appends a label and a comma.
pub(super) fn put_label(out: &mut BytesMut, name: &str, value: &str) {
    put(out, &[name, "=\""]);
    escape(out, value, true);
    put(out, &["\","]);
}

/// Appends `text`, escaped so that it ends neither its line nor, if `quoted`, its value. Other control characters are
/// replaced with U+FFFD: because of a single NUL, grep and terminals treat the whole text as binary.
pub(super) fn escape(out: &mut BytesMut, text: &str, quoted: bool) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b == b'\\' || b < b' ' || (quoted && b == b'"')) {
        let (plain, special) = rest.split_at(at);
        let (special, after) = special.split_at(1);
        let escaped = match special {
            "\n" => ["\\", "n"],
            "\\" | "\"" => ["\\", special],
            _ => ["\u{FFFD}", ""],
        };
        put(out, &[plain, escaped[0], escaped[1]]);
        rest = after;
    }
    put(out, &[rest]);
}

/// Appends a value.
pub(super) fn put_value(out: &mut BytesMut, value: Value) {
    match value {
        Value::Count(count) => put(out, &[itoa::Buffer::new().format(count)]),
        Value::Time(time) => put_time(out, time),
        Value::Real(real) if real.is_nan() => put(out, &["NaN"]),
        Value::Real(real) if real.is_infinite() => put(out, &[if real > 0.0 { "+Inf" } else { "-Inf" }]),
        Value::Real(real) => put(out, &[ryu::Buffer::new().format_finite(real)]),
    }
}

/// Seconds, exact to the nanosecond, without trailing zeros.
fn put_time(out: &mut BytesMut, time: Duration) {
    put(out, &[itoa::Buffer::new().format(time.as_secs())]);
    let mut rest = time.subsec_nanos();
    if rest == 0 {
        return;
    }
    out.put_u8(b'.');
    let mut weight = 100_000_000;
    while rest > 0 {
        // A digit, because `rest` is below ten times `weight`.
        out.put_u8(b'0' + (rest / weight) as u8);
        rest %= weight;
        weight /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: Value) -> String {
        let mut out = BytesMut::new();
        put_value(&mut out, value);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn times_are_exact_and_short() {
        assert_eq!(written(Value::Time(Duration::ZERO)), "0");
        assert_eq!(written(Value::Time(Duration::from_secs(7))), "7");
        assert_eq!(written(Value::Time(Duration::from_millis(1_500))), "1.5");
        assert_eq!(written(Value::Time(Duration::from_nanos(1))), "0.000000001");
        assert_eq!(written(Value::Time(Duration::from_nanos(12_000_000_340))), "12.00000034");
        assert_eq!(written(Value::Time(Duration::from_nanos(u64::MAX))), "18446744073.709551615");
    }

    #[test]
    fn real_numbers_are_what_prometheus_reads() {
        assert_eq!(written(Value::Real(f64::NAN)), "NaN");
        assert_eq!(written(Value::Real(f64::INFINITY)), "+Inf");
        assert_eq!(written(Value::Real(f64::NEG_INFINITY)), "-Inf");
        assert_eq!(written(Value::Real(0.25)), "0.25");
        assert_eq!(written(Value::Real(-1e300)), "-1e300");
    }
}
