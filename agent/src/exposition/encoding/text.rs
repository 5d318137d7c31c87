//! Text format 0.0.4, written into one buffer.
//!
//! Histograms are classic. Each `le` is a power of two, which is every fourth boundary of the kernel's buckets, so the
//! counts are exact. A [`Resolution`] selects the powers.

mod buckets;
mod write;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use glassbox_ebpf::histogram::PER_OCTAVE;

pub use buckets::{LE, RATIO_LE, SIZE_LE};
use write::{escape, put, put_label, put_value};

use super::encoder::Encoder;
use crate::{
    exposition::{
        family::{Family, Kind},
        sample::{Resolution, Value},
    },
    snapshot::{gpu::RatioHistogram, scheduler::Histogram, uploads::SizeHistogram},
};

/// The `Content-Type` of this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Spare capacity that a buffer may keep beyond twice the capacity it needs.
const SPARE_BYTES: usize = 64 * 1024;

/// The encoder. Its buffer is reused after every [`Bytes`] taken from it is dropped.
#[derive(Default)]
pub struct Text {
    out: BytesMut,
    /// The current family, and whether its HELP and TYPE are written: a family without samples has neither.
    family: Option<(&'static Family, bool)>,
    /// Length of the previous text, an estimate for the next one.
    last_len: usize,
    /// Series of the current family: name and labels as written.
    #[cfg(debug_assertions)]
    written: std::collections::HashSet<Box<[u8]>>,
}

impl Text {
    /// Reserves room for a text slightly longer than the previous one, and frees memory that only much longer texts
    /// need.
    pub fn reserve(&mut self) {
        let wanted = self.last_len + self.last_len / 16;
        self.out.reserve(wanted);
        if self.out.capacity() > SPARE_BYTES + wanted * 2 {
            self.out = BytesMut::with_capacity(wanted);
        }
    }

    /// Returns the text and starts a new one.
    pub fn take(&mut self) -> Bytes {
        self.last_len = self.out.len();
        self.out.split().freeze()
    }

    /// A writer that appends to the text, for sources with an encoder of their own.
    pub fn writer(&mut self) -> impl std::io::Write {
        (&mut self.out).writer()
    }

    /// The current family, after making sure that its HELP and TYPE are written.
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

    /// Writes the name and labels of a sample; only buckets have `le`.
    fn head(&mut self, family: &Family, suffix: &str, set: &[u8], labels: &[&str], le: Option<&str>) {
        #[cfg(debug_assertions)]
        let start = self.out.len();
        put(&mut self.out, &[family.name, suffix]);
        self.labels(family, set, labels, le);
        #[cfg(debug_assertions)]
        assert!(
            self.written.insert(self.out[start..].into()),
            "one series twice: {}",
            String::from_utf8_lossy(&self.out[start..])
        );
    }

    fn labels(&mut self, family: &Family, set: &[u8], labels: &[&str], le: Option<&str>) {
        if set.is_empty() && labels.is_empty() && le.is_none() {
            self.out.put_u8(b' ');
            return;
        }
        self.out.put_u8(b'{');
        self.out.put_slice(set);
        for (name, value) in family.labels.iter().zip(labels) {
            put_label(&mut self.out, name, value);
        }
        if let Some(le) = le {
            put_label(&mut self.out, "le", le);
        }
        // Each label ends with a comma.
        self.out.truncate(self.out.len() - 1);
        put(&mut self.out, &["} "]);
    }

    fn line(&mut self, family: &Family, suffix: &str, set: &[u8], labels: &[&str], value: Value) {
        self.head(family, suffix, set, labels, None);
        put_value(&mut self.out, value);
        self.out.put_u8(b'\n');
    }

    fn bucket(&mut self, family: &Family, set: &[u8], labels: &[&str], le: &str, count: u64) {
        self.head(family, "_bucket", set, labels, Some(le));
        put_value(&mut self.out, Value::Count(count));
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

    fn value(&mut self, set: &[u8], labels: &[&str], value: Value) {
        if let Some(family) = self.headed() {
            self.line(family, "", set, labels, value);
        }
    }

    fn histogram(&mut self, set: &[u8], labels: &[&str], histogram: &Histogram, resolution: Resolution) {
        let Some(family) = self.headed() else { return };
        let mut below = 0;
        let mut counted = 0;
        for &octave in resolution.bounds() {
            let up_to = octave * PER_OCTAVE + 1;
            below += histogram.buckets[counted..up_to].iter().sum::<u64>();
            counted = up_to;
            self.bucket(family, set, labels, LE[octave], below);
        }
        let all = below + histogram.buckets[counted..].iter().sum::<u64>();
        self.bucket(family, set, labels, "+Inf", all);
        self.line(family, "_sum", set, labels, Value::Time(Duration::from_nanos(histogram.sum_ns)));
        self.line(family, "_count", set, labels, Value::Count(all));
    }

    fn ratios(&mut self, set: &[u8], labels: &[&str], histogram: &RatioHistogram) {
        let Some(family) = self.headed() else { return };
        let mut below = 0;
        for (le, count) in RATIO_LE.into_iter().zip(histogram.counts) {
            below += count;
            self.bucket(family, set, labels, le, below);
        }
        self.bucket(family, set, labels, "+Inf", below);
        self.line(family, "_sum", set, labels, Value::Real(histogram.sum));
        self.line(family, "_count", set, labels, Value::Count(below));
    }

    fn sizes(&mut self, set: &[u8], labels: &[&str], histogram: &SizeHistogram) {
        let Some(family) = self.headed() else { return };
        let mut below = 0;
        for (le, count) in SIZE_LE.into_iter().zip(histogram.counts) {
            below += count;
            self.bucket(family, set, labels, le, below);
        }
        self.line(family, "_sum", set, labels, Value::Count(histogram.sum));
        self.line(family, "_count", set, labels, Value::Count(below));
    }

    fn end(&mut self) {
        self.family = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "one series twice")]
    fn a_series_that_is_given_twice_ends_a_debug_build() {
        const FAMILY: &Family = &Family::counter("name").help("Help.").source("source").agent(|_, _| {});
        let mut text = Text::default();
        text.begin(FAMILY);
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
