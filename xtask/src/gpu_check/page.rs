//! docs/gpu-validation.md of the figures.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

use crate::samples::Samples;

/// Rows of `glassbox check` that bear on GPUs.
const CHECKED: [&str; 5] = ["GPU", "probe nvidia_driver", "  not ", "NVIDIA driver", "collector nvml"];
/// Most commands, and refusals, that are shown of a step.
const SHOWN: usize = 6;

/// The heading of what does not come from a GPU, which stays when the page is written.
const WITHOUT_GPU: &str = "\n## The real driver without a GPU\n";

/// What stays of the page that there was.
pub(super) fn preserved(previous: &str) -> &str {
    previous.find(WITHOUT_GPU).map_or("", |at| &previous[at..])
}

/// The page.
pub(super) fn page(machine: &str, driver: &str, figures: &Value) -> anyhow::Result<String> {
    let mut page = String::from(
        "# On a real GPU\n\nMade by `cargo xtask gpu-check --write` (root, one GPU that nobody else uses, no network).\n\n",
    );
    let watched = &figures["watched"];
    // Writing into a String cannot fail.
    let _ = write!(page, "{machine}\nDriver: `{driver}`.\n");
    for gpu in watched["nvml"]["gpus"].as_array().context("find the GPUs")? {
        let _ = writeln!(page, "GPU {}: {}.", text(&gpu["gpu"]), text(&gpu["name"]));
    }
    page.push_str("\n## What attached\n\n```text\n");
    let check = figures["check"].as_str().context("find what glassbox check said")?;
    for line in check.lines().filter(|line| CHECKED.iter().any(|row| line.starts_with(row))) {
        let _ = writeln!(page, "{line}");
    }
    page.push_str("```\n\n## What CUDA came down to\n\n| step | seconds | ioctls | per second | most of them | refused | not decoded |\n|---|---|---|---|---|---|---|\n");
    for step in watched["steps"].as_array().context("find the steps")? {
        row(&mut page, step);
    }
    page.push_str("\n## Cold start of the first process, from its start\n\n| phase | seconds |\n|---|---|\n");
    for (phase, seconds) in watched["cold_start_seconds"].as_object().into_iter().flatten() {
        let _ = writeln!(page, "| {phase} | {:.3} |", seconds.as_f64().unwrap_or(f64::NAN));
    }
    let rate = watched["nvml"]["samples_per_second"].as_f64().context("find how often NVML samples")?;
    let _ =
        write!(page, "\n## NVML\n\nSamples of utilization per GPU: {rate:.1} per second.\n\n## Overhead\n\n");
    page.push_str("Medians of rounds with and without the agent in turn, and the quartiles of the difference.\n\n| work | without | with | slower by |\n|---|---|---|---|\n");
    for (key, what) in [
        ("launches_per_second", "kernels launched and awaited, per second"),
        ("allocations_per_second", "64 MiB allocated and freed, per second"),
    ] {
        overhead(&mut page, figures, key, what)?;
    }
    Ok(page)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn row(page: &mut String, step: &Value) {
    let seen = &step["seen"];
    let commands = sorted_counts(&seen["glassbox_nvidia_ioctls_total"]);
    let calls = total(&commands);
    let seconds = step["seconds"].as_f64().unwrap_or(f64::NAN);
    let undecoded = total(&sorted_counts(&seen["glassbox_nvidia_undecoded_total"]));
    let refused = top(&sorted_counts(&seen["glassbox_nvidia_rm_errors_total"]));
    let granted = match step["answer"]["granted"].as_u64().filter(|_| !step["answer"]["refusal"].is_null()) {
        Some(granted) => format!(" (granted {granted}, then CUDA error {})", step["answer"]["refusal"]),
        None => String::new(),
    };
    let _ = writeln!(
        page,
        "| {}{granted} | {seconds:.3} | {calls} | {:.0} | {} | {refused} | {undecoded} |",
        text(&step["step"]),
        calls / seconds,
        top(&commands),
    );
}

/// Counts by name, the most first.
fn sorted_counts(counts: &Value) -> Vec<(&str, f64)> {
    let counts = counts.as_object().into_iter().flatten();
    let mut counts: Vec<_> =
        counts.filter_map(|(name, count)| Some((name.as_str(), count.as_f64()?))).collect();
    counts.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    counts
}

/// A sum of no numbers would be -0.
fn total(counts: &[(&str, f64)]) -> f64 {
    counts.iter().fold(0.0, |sum, (_, count)| sum + count)
}

fn top(counts: &[(&str, f64)]) -> String {
    let shown: Vec<_> = counts.iter().take(SHOWN).map(|(name, count)| format!("{name} {count}")).collect();
    let rest = if counts.len() > SHOWN { ", …" } else { "" };
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") + rest }
}

fn overhead(page: &mut String, figures: &Value, key: &str, what: &str) -> anyhow::Result<()> {
    let rounds = figures["overhead"].as_array().context("find the rounds")?;
    let rate = |round: &Value, state: &str| round[state][key].as_f64().unwrap_or(f64::NAN);
    let rates = |state: &str| Samples::new(rounds.iter().map(|round| rate(round, state)));
    let (off, on) = (rates("off"), rates("on"));
    let slower =
        Samples::new(rounds.iter().map(|round| (rate(round, "off") / rate(round, "on") - 1.0) * 100.0));
    let _ = writeln!(
        page,
        "| {what} | {:.0} | {:.0} | {:.1} % ({:.1} to {:.1}) |",
        off.median(),
        on.median(),
        slower.median(),
        slower.quantile(0.25),
        slower.quantile(0.75),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_was_seen() {
        let rounds: Vec<_> = [200.0, 400.0, 300.0]
            .map(|off| {
                serde_json::json!({
                    "off": { "launches_per_second": off, "allocations_per_second": off },
                    "on": { "launches_per_second": off / 1.25, "allocations_per_second": off },
                })
            })
            .into();
        let figures = serde_json::json!({
            "check": "kernel  ok  6.1\nGPU  ok  1 GPU\nprobe nvidia_driver  ok  kprobe\n",
            "watched": {
                "steps": [{
                    "step": "until refused", "seconds": 0.5, "answer": { "granted": 7, "refusal": 2 },
                    "seen": {
                        "glassbox_nvidia_ioctls_total": { "ctl rm_control": 3, "ctl rm_alloc": 8 },
                        "glassbox_nvidia_rm_errors_total": { "rm_alloc no_memory": 1 },
                    },
                }],
                "cold_start_seconds": { "driver_opened": 0.25 },
                "nvml": { "gpus": [{ "gpu": "0", "name": "H100" }], "samples_per_second": 6.0 },
            },
            "overhead": rounds,
        });
        let page = page("Machine: one.\n", "NVRM version: 580", &figures).unwrap();
        for line in [
            "GPU 0: H100.",
            "probe nvidia_driver  ok  kprobe",
            "| until refused (granted 7, then CUDA error 2) | 0.500 | 11 | 22 | ctl rm_alloc 8, ctl rm_control 3 | \
             rm_alloc no_memory 1 | 0 |",
            "| driver_opened | 0.250 |",
            "Samples of utilization per GPU: 6.0 per second.",
            "| kernels launched and awaited, per second | 300 | 240 | 25.0 % (25.0 to 25.0) |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        assert!(!page.contains("kernel  ok  6.1"));
    }

    #[test]
    fn what_was_verified_without_a_gpu_stays() {
        let page = include_str!("../../../docs/gpu-validation.md");
        assert!(preserved(page).contains("xtask vm --real-driver"), "{page}");
        assert_eq!(preserved("# On a real GPU\n"), "");
    }
}
