//! Text format 0.0.4, written straight into one buffer.
//!
//! Histograms are classic. Each `le` is a power of two, which is every fourth boundary of the kernel's buckets, so the
//! counts are exact. A [`Resolution`] says which powers are written.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use glassbox_ebpf::histogram::{MIN_EXPONENT, PER_OCTAVE};

use crate::exposition::{Encoder, Family, Kind, Resolution, Value};
use crate::snapshot::{
    gpu::{RATIO_BUCKETS, RatioHistogram},
    scheduler::Histogram,
};

/// The `Content-Type` of this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The powers of two from 2^-20 to 2^6, shortest exact decimals in the notation that Prometheus' own libraries use.
pub const LE: [&str; 27] = [
    "9.5367431640625e-07",
    "1.9073486328125e-06",
    "3.814697265625e-06",
    "7.62939453125e-06",
    "1.52587890625e-05",
    "3.0517578125e-05",
    "6.103515625e-05",
    "0.0001220703125",
    "0.000244140625",
    "0.00048828125",
    "0.0009765625",
    "0.001953125",
    "0.00390625",
    "0.0078125",
    "0.015625",
    "0.03125",
    "0.0625",
    "0.125",
    "0.25",
    "0.5",
    "1",
    "2",
    "4",
    "8",
    "16",
    "32",
    "64",
];

impl Resolution {
    /// The finite `le`, as indices of [`LE`].
    #[must_use]
    pub const fn bounds(self) -> &'static [usize] {
        match self {
            Self::Fine => &[2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22],
            Self::Coarse => &[2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23],
        }
    }
}

/// The `le` of ratios: twentieths.
pub const RATIO_LE: [&str; RATIO_BUCKETS] = [
    "0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.35", "0.4", "0.45", "0.5", "0.55", "0.6", "0.65", "0.7",
    "0.75", "0.8", "0.85", "0.9", "0.95", "1",
];

/// Room that a buffer may keep beyond twice what is needed.
const SPARE_BYTES: usize = 64 * 1024;

/// The encoder. Its buffer is used again once every [`Bytes`] taken from it is dropped.
#[derive(Default)]
pub struct Text {
    out: BytesMut,
    /// The family that was begun, and whether its head was written: it waits for the first sample.
    family: Option<(&'static Family, bool)>,
    /// Length of the last text, as the next one will be about as long.
    last_len: usize,
    /// Series of the family so far: name and labels as written.
    #[cfg(debug_assertions)]
    written: std::collections::HashSet<Box<[u8]>>,
}

impl Text {
    /// Makes room for a text a little longer than the last. Much more room than that, from when texts were longer, is given
    /// back.
    pub fn reserve(&mut self) {
        let wanted = self.last_len + self.last_len / 16;
        self.out.reserve(wanted);
        if self.out.capacity() > SPARE_BYTES + wanted * 2 {
            self.out = BytesMut::with_capacity(wanted);
        }
    }

    /// The text so far; what follows starts a new one.
    pub fn take(&mut self) -> Bytes {
        self.last_len = self.out.len();
        self.out.split().freeze()
    }

    /// A writer that appends to the text, for what has an encoder of its own.
    pub fn writer(&mut self) -> impl std::io::Write {
        (&mut self.out).writer()
    }

    /// The family begun, after making sure that its head is there.
    fn headed(&mut self) -> Option<&'static Family> {
        let (family, written) = self.family.as_mut()?;
        if !*written {
            *written = true;
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            put(&mut self.out, &["# HELP ", family.name, " "]);
            escape(&mut self.out, family.help, false);
            put(&mut self.out, &["\n# TYPE ", family.name, " ", kind, "\n"]);
        }
        Some(family)
    }

    /// Writes a sample's name and labels; `le` is the label that only buckets have.
    fn head(&mut self, family: &Family, suffix: &str, base: &[u8], labels: &[&str], le: Option<&str>) {
        #[cfg(debug_assertions)]
        let start = self.out.len();
        put(&mut self.out, &[family.name, suffix]);
        self.labels(family, base, labels, le);
        #[cfg(debug_assertions)]
        assert!(
            self.written.insert(self.out[start..].into()),
            "one series twice: {}",
            String::from_utf8_lossy(&self.out[start..])
        );
    }

    fn labels(&mut self, family: &Family, base: &[u8], labels: &[&str], le: Option<&str>) {
        if base.is_empty() && labels.is_empty() && le.is_none() {
            self.out.put_u8(b' ');
            return;
        }
        self.out.put_u8(b'{');
        // Each label ends with a comma; the format allows one after the last.
        self.out.put_slice(base);
        for (name, value) in family.labels.iter().zip(labels) {
            put_label(&mut self.out, name, value);
        }
        if let Some(le) = le {
            put_label(&mut self.out, "le", le);
        }
        self.out.truncate(self.out.len() - 1);
        put(&mut self.out, &["} "]);
    }

    fn line(&mut self, family: &Family, suffix: &str, base: &[u8], labels: &[&str], value: Value) {
        self.head(family, suffix, base, labels, None);
        put_value(&mut self.out, value);
        self.out.put_u8(b'\n');
    }
}

impl Encoder for Text {
    fn label(&self, set: &mut BytesMut, name: &str, value: &str) {
        put_label(set, name, value);
    }

    fn comment(&mut self, text: &str) {
        put(&mut self.out, &["# ", text, "\n"]);
    }

    fn begin(&mut self, family: &'static Family) {
        self.family = Some((family, false));
        #[cfg(debug_assertions)]
        self.written.clear();
    }

    fn value(&mut self, base: &[u8], labels: &[&str], value: Value) {
        if let Some(family) = self.headed() {
            self.line(family, "", base, labels, value);
        }
    }

    fn histogram(&mut self, base: &[u8], labels: &[&str], histogram: &Histogram, resolution: Resolution) {
        let Some(family) = self.headed() else { return };
        let mut below = 0;
        let mut counted = 0;
        for &octave in resolution.bounds() {
            let le = LE[octave];
            let up_to = octave * PER_OCTAVE + 1;
            below += histogram.buckets[counted..up_to].iter().sum::<u64>();
            counted = up_to;
            self.head(family, "_bucket", base, labels, Some(le));
            put_value(&mut self.out, Value::Count(below));
            self.out.put_u8(b'\n');
        }
        let all = below + histogram.buckets[counted..].iter().sum::<u64>();
        self.head(family, "_bucket", base, labels, Some("+Inf"));
        put_value(&mut self.out, Value::Count(all));
        self.out.put_u8(b'\n');
        self.line(family, "_sum", base, labels, Value::Time(Duration::from_nanos(histogram.sum_ns)));
        self.line(family, "_count", base, labels, Value::Count(all));
    }

    fn ratios(&mut self, base: &[u8], labels: &[&str], histogram: &RatioHistogram) {
        let Some(family) = self.headed() else { return };
        let mut below = 0;
        for (le, count) in RATIO_LE.into_iter().zip(histogram.counts) {
            below += count;
            self.head(family, "_bucket", base, labels, Some(le));
            put_value(&mut self.out, Value::Count(below));
            self.out.put_u8(b'\n');
        }
        self.head(family, "_bucket", base, labels, Some("+Inf"));
        put_value(&mut self.out, Value::Count(below));
        self.out.put_u8(b'\n');
        self.line(family, "_sum", base, labels, Value::Real(histogram.sum));
        self.line(family, "_count", base, labels, Value::Count(below));
    }

    fn end(&mut self) {
        self.family = None;
    }
}

// The first `le` is the upper bound of the kernel's first slot.
const _: () = assert!(MIN_EXPONENT == -20);

fn put(out: &mut BytesMut, parts: &[&str]) {
    for part in parts {
        out.put_slice(part.as_bytes());
    }
}

fn put_label(out: &mut BytesMut, name: &str, value: &str) {
    put(out, &[name, "=\""]);
    escape(out, value, true);
    put(out, &["\","]);
}

/// Writes `text` so that it ends neither its line nor, if quoted, its value. Other control characters are replaced by U+FFFD:
/// with a NUL, grep and terminals take the whole text for binary.
fn escape(out: &mut BytesMut, text: &str, quoted: bool) {
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

fn put_value(out: &mut BytesMut, value: Value) {
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
        // A digit, as `rest` is below ten times `weight`.
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
    fn every_le_is_exactly_its_power_of_two() {
        for (octave, le) in LE.iter().enumerate() {
            let exponent = MIN_EXPONENT + i32::try_from(octave).unwrap();
            assert_eq!(le.parse::<f64>().unwrap(), 2f64.powi(exponent), "{le}");
        }
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

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "one series twice")]
    fn a_series_that_is_given_twice_ends_a_debug_build() {
        let mut text = Text::default();
        text.begin(&crate::exposition::families::agent::FAMILIES[0]);
        text.value(&[], &[], Value::Count(1));
        text.value(&[], &[], Value::Count(2));
    }

    #[test]
    fn a_buffer_shrinks_with_its_texts() {
        let mut text = Text::default();
        for length in [5_000_000, 5000, 5000] {
            text.reserve();
            put(&mut text.out, &[&"x".repeat(length)]);
            drop(text.take());
        }
        text.reserve();
        assert!(text.out.capacity() < 200_000, "{}", text.out.capacity());
    }

    #[test]
    fn a_buffer_is_used_again_once_its_text_is_dropped() {
        let mut text = Text::default();
        put(&mut text.out, &["x"; 5000]);
        let first = text.take();
        let place = first.as_ptr();
        drop(first);
        text.reserve();
        put(&mut text.out, &["y"; 5000]);
        assert_eq!(text.take().as_ptr(), place);
    }
}
