//! The agent's metrics of a container, compared with the truth.

use std::{collections::BTreeMap, time::Duration};

use glassbox_tests::{
    agent::Agent,
    docker::eventually,
    facefusion::truth::{OTHER, Run, Truth},
};

use super::{TICK_MS, watch::Scrape};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Width of a bucket of native histograms: upper / lower boundary.
const BUCKET: f64 = 1.189_207_115_002_721;
/// Difference of two times that may be in different buckets, in s.
const SHORT_S: f64 = 0.1;
const TICK_S: f64 = TICK_MS as f64 / 1e3;
/// Largest relative difference of a frame rate.
const RATE: f64 = 0.03;

/// Waits until the agent has seen all ends, and compares everything that has a final value.
pub(super) fn assert_same(agent: &Agent, container: &str, truth: &Truth, version: &str) -> Scrape {
    let scrape = eventually("all jobs have been counted", TIMEOUT, || {
        let scrape = Scrape::of(agent, container);
        let is_idle =
            scrape.sum("unfinished_jobs", &[("status", "running")]) == Some(truth.jobs_in("running") as f64);
        (is_idle && scrape.count("jobs_total", &[]) >= truth.jobs() as f64).then_some(scrape)
    });
    assert_eq!(scrape.count("jobs_total", &[]), truth.jobs() as f64, "jobs");
    // The content filter of 3.5 has no child, so a refusal cannot be told from a failure without a sign.
    let is_visible = |reason: &str| !(version.starts_with("3.5") && reason == "refused_by_content_filter");
    let mut known_ends: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for ((outcome, reason), known) in &truth.ended {
        let reason = if is_visible(reason) { reason.as_str() } else { "unknown" };
        *known_ends.entry((outcome, reason)).or_default() += known;
    }
    for ((outcome, reason), known) in &known_ends {
        let counted = scrape.count("jobs_total", &[("outcome", outcome), ("reason", reason)]);
        assert_eq!(counted, *known as f64, "{outcome}, {reason}");
    }
    for status in ["drafted", "queued", "running"] {
        let counted = scrape.sum("unfinished_jobs", &[("status", status)]);
        assert_eq!(counted, Some(truth.jobs_in(status) as f64), "{status}");
    }
    assert_eq!(scrape.by_label("steps_total", "status"), as_f64(&truth.steps));
    assert_eq!(scrape.by_label("processors_total", "processor"), as_f64(&truth.processors));
    assert_eq!(scrape.count("retries_total", &[]), truth.retries as f64, "retries");
    assert_eq!(scrape.by_label("job_files_ignored_total", "reason"), BTreeMap::new());
    assert_histogram(&scrape, "job_queue_wait_seconds", &truth.waits_ns);
    assert_histogram(&scrape, "job_duration_seconds", &truth.durations_ns);
    assert_phases(&scrape, truth, version);
    assert_frames(&scrape, truth);
    scrape
}

fn as_f64(counts: &BTreeMap<String, u64>) -> BTreeMap<String, f64> {
    counts.iter().map(|(name, count)| (name.clone(), *count as f64)).collect()
}

/// Each value may be counted as one that is a bucket larger or smaller, or 100 ms.
fn assert_histogram(scrape: &Scrape, metric: &str, known_ns: &[u64]) {
    let known_s: Vec<f64> = known_ns.iter().map(|ns| *ns as f64 / 1e9).collect();
    assert_eq!(scrape.count(&format!("{metric}_count"), &[]), known_s.len() as f64, "{metric}");
    let tolerance_s = |value_s: f64| (value_s * (BUCKET - 1.0)).max(SHORT_S);
    let buckets = scrape.by_label(&format!("{metric}_bucket"), "le");
    assert!(!buckets.is_empty(), "{metric} has no buckets");
    for (le, count) in buckets {
        let boundary_s: f64 = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
        let below = |values: &dyn Fn(f64) -> f64| {
            known_s.iter().filter(|value| values(**value) <= boundary_s).count()
        };
        let least = below(&|value_s| value_s + tolerance_s(value_s)) as f64;
        let most = below(&|value_s| value_s - tolerance_s(value_s)) as f64;
        assert!(
            (least..=most).contains(&count),
            "{metric}: {count} up to {le} s, but {least} to {most}: {known_s:?}"
        );
    }
    let (sum_s, counted_s) = (known_s.iter().sum::<f64>(), scrape.count(&format!("{metric}_sum"), &[]));
    let tolerance_s: f64 = known_s.iter().map(|value_s| tolerance_s(*value_s)).sum();
    println!("{metric}: {counted_s:.3} s, known {sum_s:.3} s");
    assert!((counted_s - sum_s).abs() <= tolerance_s, "{metric}: {counted_s} s, not {sum_s} s");
}

/// Each phase may begin or end a tick earlier or later.
fn assert_phases(scrape: &Scrape, truth: &Truth, version: &str) {
    let counted_s = scrape.by_label("phase_seconds_total", "phase");
    let known = truth.phases_ns();
    let sum_s: f64 = counted_s.values().sum();
    let known_sum_s = known.values().map(|(ns, _)| *ns as f64 / 1e9).sum::<f64>();
    println!("phases: {counted_s:?}, known {known:?}");
    let jobs = truth.durations_ns.len() as f64;
    assert!((sum_s - known_sum_s).abs() <= jobs * TICK_S, "all phases: {sum_s} s, not {known_sum_s} s");
    // The content filter of 3.5 has no child, so it cannot be told from other work.
    let merged = |phase: &str| {
        if version.starts_with("3.5") && phase == "content_filter" { OTHER } else { phase }.to_owned()
    };
    let mut expected: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (phase, (ns, occurrences)) in &known {
        let entry = expected.entry(merged(phase)).or_default();
        *entry = (entry.0 + *ns as f64 / 1e9, entry.1 + *occurrences as f64);
    }
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    for (phase, seconds) in counted_s {
        *found.entry(merged(&phase)).or_default() += seconds;
    }
    for (phase, known_s) in &expected {
        let counted_s = found.remove(phase).unwrap_or_default();
        let tolerance_s = known_s.1 * TICK_S;
        assert!((counted_s - known_s.0).abs() <= tolerance_s, "{phase}: {counted_s} s, not {known_s:?}");
    }
    assert!(found.is_empty(), "phases that did not happen: {found:?}");
}

/// The frames of the last tick of each step may be missing.
fn assert_frames(scrape: &Scrape, truth: &Truth) {
    let (counted, known) = (scrape.count("frames_total", &[]), truth.frames() as f64);
    let missing: f64 = truth.runs.iter().filter_map(Run::fps).map(|fps| fps * TICK_S + 1.0).sum();
    println!("frames: {counted}, known {known}");
    assert!(counted <= known + truth.runs.len() as f64, "{counted} frames, not {known}");
    assert!(counted >= known - missing, "{counted} frames, not {known}");
}

/// Compares the rate and the progress in the middle of each step with the truth.
pub(super) fn assert_speed(scrapes: &[Scrape], truth: &Truth) {
    let mut progress = 0;
    for run in truth.runs.iter().filter(|run| run.frames_ns.len() as u64 == run.total) {
        let (first, last) = (run.frames_ns.first().unwrap(), run.frames_ns.last().unwrap());
        let margin_ns = (last - first) / 4;
        let middle = |scrape: &&Scrape| (first + margin_ns..last - margin_ns).contains(&scrape.at_ns);
        let scrapes: Vec<&Scrape> = scrapes.iter().filter(middle).collect();
        let mut rates: Vec<f64> =
            scrapes.iter().filter_map(|scrape| scrape.sum("frames_per_second", &[])).collect();
        rates.sort_by(f64::total_cmp);
        let median = *rates.get(rates.len() / 2).unwrap_or_else(|| panic!("no rate during a step"));
        let fps = run.fps().unwrap();
        println!("frames per second: {median:.2}, known {fps:.2}");
        assert!((median / fps - 1.0).abs() <= RATE, "{median} frames per second, not {fps}: {rates:?}");
        for scrape in scrapes {
            let Some(ratio) = scrape.sum("progress_ratio", &[]) else { continue };
            let done = run.frames_ns.iter().filter(|at_ns| **at_ns <= scrape.at_ns).count() as f64;
            // The snapshot is up to one tick old, and the agent needs a tick to see a new step.
            let tolerance = (2.0 * TICK_S * fps + 1.0) / run.total as f64 + RATE;
            let known = done / run.total as f64;
            assert!((ratio - known).abs() <= tolerance, "progress {ratio}, not {known}");
            progress += 1;
        }
    }
    println!("progress compared {progress} times");
    assert!(progress > 0, "the progress was never known");
}
