//! One line for each GPU: load, memory, power, temperature, throttling, and which containers hold its memory.

use std::fmt::Write as _;

use super::{Escaped, gibibytes, name};
use crate::snapshot::{Snapshot, gpu::Gpu};

/// Maximum number of containers that are named as holders of a GPU's memory.
const HOLDERS_MAX: usize = 6;

/// Writes the list of GPUs; nothing without GPUs.
pub(super) fn gpus(page: &mut String, snapshot: &Snapshot) {
    if snapshot.host.gpus.is_empty() && snapshot.host.unreported_gpus.is_empty() {
        return;
    }
    page.push_str("<section aria-label=GPUs><h2>GPUs</h2>\n<ul>\n");
    for gpu in snapshot.host.gpus.iter().chain(&snapshot.host.unreported_gpus) {
        line(page, gpu, snapshot);
    }
    page.push_str("</ul></section>\n");
}

fn line(page: &mut String, gpu: &Gpu, snapshot: &Snapshot) {
    let place = if gpu.uuid.is_empty() { gpu.pci_bus_id.clone() } else { gpu.index.to_string() };
    // Writing into a String cannot fail.
    let _ = write!(page, "<li><b>GPU {}</b> {}", Escaped(&place), Escaped(&gpu.name));
    if !gpu.up {
        page.push_str(" <span class=bad>down: look for NVRM messages in the kernel log</span></li>\n");
        return;
    }
    if let Some(ratio) = gpu.utilization_ratio {
        let _ = write!(page, ", {:.0} % busy", ratio * 100.0);
    }
    if let Some((used, total)) = gpu.memory_used_bytes.zip(gpu.memory_total_bytes) {
        let class = if used as f64 > 0.85 * total as f64 { "warn" } else { "good" };
        let _ =
            write!(page, ", memory <span class={class}>{} of {}</span>", gibibytes(used), gibibytes(total));
    }
    if let Some(watts) = gpu.power_watts {
        let _ = write!(page, ", {watts:.0} W");
    }
    if let Some(celsius) = gpu.temperature_celsius {
        let _ = write!(page, ", {celsius:.0} °C");
    }
    let throttling = gpu.throttle_reasons.iter().filter(|(reason, active)| *active && *reason != "idle");
    let throttling: Vec<_> = throttling.map(|(reason, _)| reason.replace('_', " ")).collect();
    if !throttling.is_empty() {
        let _ = write!(page, ", <span class=warn>clocks reduced: {}</span>", Escaped(&throttling.join(", ")));
    }
    holders(page, gpu, snapshot);
    page.push_str("</li>\n");
}

fn holders(page: &mut String, gpu: &Gpu, snapshot: &Snapshot) {
    let mut holders: Vec<_> = snapshot
        .containers
        .iter()
        .filter_map(|row| {
            let used = row.gpus.iter().find(|used| used.index == gpu.index && used.uuid == gpu.uuid)?;
            Some((used.memory_used_bytes.filter(|bytes| *bytes > 0)?, name(&row.identity)))
        })
        .collect();
    holders.sort_unstable_by(|one, other| other.cmp(one));
    for (place, (bytes, name)) in holders.iter().take(HOLDERS_MAX).enumerate() {
        let before = if place == 0 { "; held by " } else { ", " };
        let _ = write!(page, "{before}{} ({})", Escaped(name), gibibytes(*bytes));
    }
    if let Some(more) = holders.len().checked_sub(HOLDERS_MAX + 1) {
        let _ = write!(page, " and {} more", more + 1);
    }
}
