//! The reason why container families are encoded without the `prometheus` crate: the time to encode a snapshot of 50
//! containers with the agent's encoder and with the families and text encoder of the crate. `cargo xtask bench` runs this
//! program and makes a row of its JSON.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use glassbox::{
    exposition::{Encoder, Family, Kind, Resolution, Scope, Text, Value, encode, encoding::text::RATIO_LE},
    snapshot::{
        ContainerRow, Snapshot,
        gpu::RatioHistogram,
        scheduler::Histogram,
        uploads::{SIZE_FIRST, SizeHistogram},
    },
};
use glassbox_ebpf::histogram;
use glassbox_fixtures::host;
use glassbox_tests::measure::flag;
use prometheus::{Encoder as _, TextEncoder, proto};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let (containers, rounds): (usize, usize) = (flag("--containers")?, flag("--rounds")?);
    let snapshot = snapshot(containers);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut text, mut text_of_crate) = (Bytes::new(), Vec::new());
    let mut encoder = Text::default();
    for _ in 0..rounds {
        let begun = Instant::now();
        // The agent also reuses the buffer of the last text.
        drop(text);
        encoder.reserve();
        encode(&snapshot, Scope::All, &mut encoder);
        text = encoder.take();
        ours.push(begun.elapsed().as_secs_f64());

        let begun = Instant::now();
        let mut families = Families::default();
        encode(&snapshot, Scope::All, &mut families);
        text_of_crate.clear();
        TextEncoder::new().encode(&families.families, &mut text_of_crate).context("encode with the crate")?;
        theirs.push(begun.elapsed().as_secs_f64());
    }
    let samples =
        |text: &[u8]| String::from_utf8_lossy(text).lines().filter(|line| !line.starts_with('#')).count();
    let (count, count_of_crate) = (samples(&text), samples(&text_of_crate));
    ensure!(
        count == count_of_crate && count > 0,
        "{count} samples here, {count_of_crate} there: no comparison"
    );
    println!("{}", json!({ "samples": count, "bytes": text.len(), "ours_s": ours, "crate_s": theirs }));
    Ok(())
}

/// The families of the `prometheus` crate, as a registry gathers them.
#[derive(Default)]
struct Families {
    families: Vec<proto::MetricFamily>,
    labels: &'static [&'static str],
    kind: Option<Kind>,
}

impl Families {
    fn metric(&mut self, base: &[u8], labels: &[&str]) -> proto::Metric {
        let mut pairs = Vec::new();
        let mut base = base;
        while base.has_remaining() {
            let mut part = || {
                let length = base.get_u32() as usize;
                String::from_utf8_lossy(&base.copy_to_bytes(length)).into_owned()
            };
            pairs.push(pair(&part(), part()));
        }
        pairs.extend(self.labels.iter().zip(labels).map(|(name, value)| pair(name, (*value).to_owned())));
        let mut metric = proto::Metric::default();
        metric.set_label(pairs);
        metric
    }

    fn push(&mut self, metric: proto::Metric) {
        if let Some(family) = self.families.last_mut() {
            family.mut_metric().push(metric);
        }
    }
}

fn pair(name: &str, value: String) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

impl Encoder for Families {
    fn label(&self, set: &mut BytesMut, name: &str, value: &str) {
        for part in [name, value] {
            set.put_u32(part.len() as u32);
            set.put_slice(part.as_bytes());
        }
    }

    fn comment(&mut self, _: &str) {}

    fn begin(&mut self, family: &'static Family) {
        let mut families = proto::MetricFamily::default();
        families.set_name(family.name.into());
        families.set_help(family.help.into());
        families.set_field_type(match family.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        self.families.push(families);
        (self.labels, self.kind) = (family.labels, Some(family.kind));
    }

    fn value(&mut self, base: &[u8], labels: &[&str], value: Value) {
        let number = match value {
            Value::Count(count) => count as f64,
            Value::Time(time) => time.as_secs_f64(),
            Value::Real(real) => real,
        };
        let mut metric = self.metric(base, labels);
        if self.kind == Some(Kind::Counter) {
            let mut counter = proto::Counter::default();
            counter.set_value(number);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(number);
            metric.set_gauge(gauge);
        }
        self.push(metric);
    }

    fn histogram(&mut self, base: &[u8], labels: &[&str], histogram: &Histogram, resolution: Resolution) {
        let mut metric = self.metric(base, labels);
        // The upper bounds of the agent's text. The crate adds +Inf.
        let (mut buckets, mut below, mut counted) = (Vec::new(), 0, 0);
        for &octave in resolution.bounds() {
            let up_to = octave * histogram::PER_OCTAVE + 1;
            below += histogram.buckets[counted..up_to].iter().sum::<u64>();
            counted = up_to;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(2f64.powi(histogram::MIN_EXPONENT + octave as i32));
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        let mut whole = proto::Histogram::default();
        whole.set_sample_count(histogram.count());
        whole.set_sample_sum(histogram.sum_ns as f64 / 1e9);
        whole.set_bucket(buckets);
        metric.set_histogram(whole);
        self.push(metric);
    }

    fn sizes(&mut self, base: &[u8], labels: &[&str], histogram: &SizeHistogram) {
        let mut metric = self.metric(base, labels);
        let (mut buckets, mut below) = (Vec::new(), 0);
        for (exponent, count) in (SIZE_FIRST as i32..).zip(histogram.counts) {
            below += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(2f64.powi(exponent));
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        // The crate adds +Inf.
        buckets.pop();
        let mut whole = proto::Histogram::default();
        whole.set_sample_count(below);
        whole.set_sample_sum(histogram.sum as f64);
        whole.set_bucket(buckets);
        metric.set_histogram(whole);
        self.push(metric);
    }

    fn ratios(&mut self, base: &[u8], labels: &[&str], histogram: &RatioHistogram) {
        let mut metric = self.metric(base, labels);
        let mut below = 0;
        let buckets = RATIO_LE.iter().zip(histogram.counts).map(|(le, count)| {
            below += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(le.parse().unwrap_or(f64::NAN));
            bucket.set_cumulative_count(below);
            bucket
        });
        let buckets = buckets.collect();
        let mut whole = proto::Histogram::default();
        whole.set_sample_count(below);
        whole.set_sample_sum(histogram.sum);
        whole.set_bucket(buckets);
        metric.set_histogram(whole);
        self.push(metric);
    }

    fn end(&mut self) {
        self.families.pop_if(|family| family.get_metric().is_empty());
    }
}

/// Containers without a GPU, with all series of the default configuration.
fn snapshot(containers: usize) -> Snapshot {
    let container =
        |number| ContainerRow { identity: Arc::new(host::numbered(number)), ..host::docker_without_gpu() };
    host::snapshot((1..=containers).map(container).collect())
}
