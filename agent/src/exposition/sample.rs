//! A sample: its value, and the path that it takes from a table to the encoder.

use std::time::Duration;

use crate::snapshot::{gpu::RatioHistogram, scheduler::Histogram, uploads::SizeHistogram};

/// The value of a sample. Integers and times stay exact until they are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// A time, written in seconds.
    Time(Duration),
    /// Any other number.
    Real(f64),
}

/// The buckets with which a histogram is exported. A family always uses the same ones, so that queries over time or
/// over containers never combine different buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Powers of two between 31 µs and 0.25 s, and 3.8 µs, 1 s and 4 s.
    Fine,
    /// Powers of four from 3.8 µs to 1 s, and 8 s.
    Coarse,
    /// Powers of four from 0.24 ms to 62 ms, powers of two from 0.125 s to 2 s, 8 s and 64 s.
    Requests,
    /// Powers of two from 1 s to 16 s, and powers of four from 64 s to 4096 s.
    Long,
}

/// Receives the samples of one family about one subject. `labels` are the values of the family's labels, in their
/// order.
pub(super) trait Sink {
    /// A sample of a counter or gauge.
    fn value(&mut self, labels: &[&str], value: Value);

    /// A sample of a histogram.
    fn histogram(&mut self, labels: &[&str], histogram: &Histogram, resolution: Resolution);

    /// A sample of a histogram of ratios.
    fn ratios(&mut self, labels: &[&str], histogram: &RatioHistogram);

    /// A sample of a histogram of sizes.
    fn sizes(&mut self, labels: &[&str], histogram: &SizeHistogram);
}

/// What a table writes its samples to. Of several samples with the same labels only the first is exported.
pub struct Emit<'a> {
    sink: &'a mut dyn Sink,
    labels: &'a [&'a str],
}

impl<'a> Emit<'a> {
    /// Samples without values for the family's labels.
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Self { sink, labels: &[] }
    }

    /// Samples with these values for the family's labels, in their order.
    pub fn with<'b>(&'b mut self, labels: &'b [&'b str]) -> Emit<'b> {
        Emit { sink: &mut *self.sink, labels }
    }

    /// A whole number; no sample if it is unknown.
    pub fn count(&mut self, count: impl Into<Option<u64>>) {
        self.value(count.into().map(Value::Count));
    }

    /// A time; no sample if it is unknown.
    pub fn time(&mut self, time: impl Into<Option<Duration>>) {
        self.value(time.into().map(Value::Time));
    }

    /// A time in nanoseconds; no sample if it is unknown.
    pub fn nanoseconds(&mut self, nanoseconds: impl Into<Option<u64>>) {
        self.time(nanoseconds.into().map(Duration::from_nanos));
    }

    /// A time in microseconds; no sample if it is unknown.
    pub fn microseconds(&mut self, microseconds: impl Into<Option<u64>>) {
        self.time(microseconds.into().map(Duration::from_micros));
    }

    /// A real number; no sample if it is unknown.
    pub fn real(&mut self, real: impl Into<Option<f64>>) {
        self.value(real.into().map(Value::Real));
    }

    /// Whole numbers by the value of the family's only label.
    pub fn each_count(&mut self, counts: &[(&str, u64)]) {
        for (label, count) in counts {
            self.with(&[label]).count(*count);
        }
    }

    /// A distribution of times.
    pub fn histogram(&mut self, histogram: &Histogram, resolution: Resolution) {
        self.sink.histogram(self.labels, histogram, resolution);
    }

    /// A distribution of ratios.
    pub fn ratios(&mut self, histogram: &RatioHistogram) {
        self.sink.ratios(self.labels, histogram);
    }

    /// A distribution of sizes.
    pub fn sizes(&mut self, histogram: &SizeHistogram) {
        self.sink.sizes(self.labels, histogram);
    }

    fn value(&mut self, value: Option<Value>) {
        if let Some(value) = value {
            self.sink.value(self.labels, value);
        }
    }
}
