//! Why container families are written straight into bytes: the same snapshot of 50 containers encoded by the
//! agent, and by way of the `prometheus` crate's families and text encoder. `cargo xtask bench` runs it and
//! makes a row of its JSON.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use glassbox::{
    exposition::{Encoder, Family, Kind, Resolution, Scope, Text, Value, encode, text::RATIO_LE},
    snapshot::{
        ContainerRow, Snapshot,
        agent::AgentUsage,
        cgroup::{CgroupUsage, CpuUsage, DeviceIo, Limits, MemoryUsage, Pressure, Pressures, Processes},
        gpu::RatioHistogram,
        identity::{Identity, Runtime},
        network::InterfaceCounters,
        scheduler::{Histogram, SchedulerCounters},
    },
};
use glassbox_ebpf::histogram;
use glassbox_tests::measure::flag;
use prometheus::{Encoder as _, TextEncoder, proto};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let (containers, rounds): (u64, usize) = (flag("--containers")?, flag("--rounds")?);
    let snapshot = snapshot(containers);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut text, mut text_of_crate) = (Bytes::new(), Vec::new());
    let mut encoder = Text::default();
    for _ in 0..rounds {
        let begun = Instant::now();
        // As the agent does: the buffer of the last text is used again.
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

/// The families of the `prometheus` crate, as a registry would gather them.
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
        // The bounds of the agent's own text form, and +Inf, which the crate adds.
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

/// Containers of which everything is known.
fn snapshot(containers: u64) -> Snapshot {
    let now = SystemTime::now();
    let containers = (1..=containers).map(|number| {
        let id = format!("{number:064x}");
        let identity = Identity {
            cgroup_path: format!("/docker/{id}"),
            id,
            runtime: Runtime::Docker,
            name: format!("studio-facefusion-{number}"),
            image: "facefusion/facefusion:3.5.0-cuda".into(),
            container: format!("facefusion-{number}"),
            labels: [("com.docker.compose.project".to_owned(), "studio".to_owned())].into(),
            started_at: Some(now),
            ..Identity::default()
        };
        let mut row = ContainerRow::new(Arc::new(identity), now);
        row.cgroup = usage(number * 1_234_567);
        row.network = vec![interface(number * 98_765)];
        let mut waits = Histogram { sum_ns: number * 1_000_000_007, ..Histogram::default() };
        waits.buckets.iter_mut().zip(number..).for_each(|(bucket, count)| *bucket = count);
        row.scheduler = Some(Box::new(SchedulerCounters {
            oncpu_ns: number * 12_345_678_901,
            voluntary_switches: number * 1000,
            involuntary_switches: number * 10,
            waits,
        }));
        row
    });
    let containers = containers.collect();
    Snapshot {
        delivery: Default::default(),
        taken_at: now,
        containers,
        host: Default::default(),
        agent: AgentUsage::default(),
    }
}

fn usage(scale: u64) -> CgroupUsage {
    CgroupUsage {
        cpu: CpuUsage {
            usage_ns: Some(scale * 1000),
            user_ns: Some(scale * 700),
            system_ns: Some(scale * 300),
            periods: Some(scale),
            throttled_periods: Some(7),
            throttled_ns: Some(scale),
            burst_periods: Some(0),
            burst_ns: Some(0),
        },
        memory: MemoryUsage {
            usage_bytes: Some(scale * 16),
            working_set_bytes: Some(scale * 12),
            rss_bytes: Some(scale * 8),
            cache_bytes: Some(scale * 4),
            mapped_file_bytes: Some(scale),
            swap_bytes: Some(0),
            max_usage_bytes: Some(scale * 20),
            kernel_bytes: Some(scale),
            active_file_bytes: Some(scale),
            inactive_file_bytes: Some(scale * 3),
            failcnt: Some(0),
            page_faults: Some(scale),
            hierarchy_page_faults: Some(scale),
            major_page_faults: Some(3),
            hierarchy_major_page_faults: Some(3),
            high_events: Some(0),
            max_events: Some(3),
            file_dirty_bytes: Some(scale),
            file_writeback_bytes: Some(0),
            scanned_pages: Some(scale),
            stolen_pages: Some(scale),
            file_refaults: Some(scale),
            anonymous_refaults: Some(0),
        },
        devices: vec![DeviceIo {
            number: (259, 0),
            name: "/dev/nvme0n1".into(),
            read_bytes: Some(scale * 4096),
            written_bytes: Some(scale * 512),
            reads: Some(scale),
            writes: Some(scale / 8),
            ..DeviceIo::default()
        }],
        pressure: Pressures { cpu: pressure(scale), memory: pressure(7), io: pressure(scale / 2) },
        processes: Processes { processes: Some(3), threads: Some(61), threads_max: Some(0) },
        huge_pages: Vec::new(),
        numa_pages: Vec::new(),
        limits: Limits {
            cpu_period_us: Some(100_000),
            cpu_quota_us: Some(400_000),
            cpu_shares: Some(1024),
            memory_limit_bytes: Some(8 << 30),
            memory_reservation_bytes: Some(0),
            memory_swap_limit_bytes: Some(16 << 30),
        },
    }
}

fn pressure(scale: u64) -> Pressure {
    Pressure { waiting_us: Some(scale), stalled_us: Some(scale / 3) }
}

fn interface(scale: u64) -> InterfaceCounters {
    InterfaceCounters {
        interface: "eth0".into(),
        receive_bytes: scale * 100,
        receive_packets: scale,
        receive_dropped: 0,
        receive_errors: 0,
        transmit_bytes: scale * 50,
        transmit_packets: scale / 2,
        transmit_dropped: 0,
        transmit_errors: 0,
    }
}
