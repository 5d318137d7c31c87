//! One box for each GPU: load, memory, power, temperature, throttling, errors, and which containers hold its memory.

use std::fmt::Write as _;

use super::{
    Escaped, Language, Request,
    bar::bar,
    language::say,
    name::linked,
    quantity::{percent, size, size_of},
};
use crate::snapshot::{Snapshot, gpu::Gpu};

/// Maximum number of containers that are named as holders of a GPU's memory.
const HOLDERS_MAX: usize = 6;
/// The share of used memory above which it is a warning, as in dashboards/alerts.yml.
pub(super) const MEMORY_RATIO: f64 = 0.85;

/// Writes the list of GPUs; nothing without GPUs.
pub(super) fn gpus(page: &mut String, snapshot: &Snapshot, request: &Request) {
    if snapshot.host.gpus.is_empty() && snapshot.host.unreported_gpus.is_empty() {
        return;
    }
    page.push_str("<section aria-labelledby=gpus><h2 id=gpus>GPU</h2>\n<ul class=gpus>\n");
    for gpu in snapshot.host.gpus.iter().chain(&snapshot.host.unreported_gpus) {
        entry(page, gpu, snapshot, request);
    }
    page.push_str("</ul></section>\n");
}

fn entry(page: &mut String, gpu: &Gpu, snapshot: &Snapshot, request: &Request) {
    let language = request.language;
    let place = if gpu.uuid.is_empty() { gpu.pci_bus_id.clone() } else { gpu.index.to_string() };
    // Writing into a String cannot fail.
    let _ = write!(page, "<li><b>GPU {}</b> {}", Escaped(&place), Escaped(&gpu.name));
    if !gpu.up {
        let down = language
            .pick("down: look for NVRM messages in the kernel log", "已离线：在内核日志中查找 NVRM 消息");
        let _ = writeln!(page, "<p class=bad>{down}</p></li>");
        return;
    }
    page.push_str("<dl>");
    let mut item = |label: &str, value: &str, class: &str, ratio: Option<f64>| {
        let bar = ratio.map(bar).unwrap_or_default();
        let _ = write!(page, "<div><dt>{label}<dd class={class}>{value}{bar}</div>");
    };
    if let Some(ratio) = gpu.utilization_ratio {
        item(language.pick("utilization", "利用率"), &percent(ratio), "plain", Some(ratio));
    }
    if let Some((used, total)) = gpu.memory_used_bytes.zip(gpu.memory_total_bytes) {
        let ratio = used as f64 / total.max(1) as f64;
        let class = if ratio > MEMORY_RATIO { "warn" } else { "plain" };
        item(language.pick("memory", "显存"), &size_of(used, total), class, Some(ratio));
    }
    if let Some(watts) = gpu.power_watts {
        let limit = gpu.power_limit_watts.map(|limit| format!(" / {limit:.0}")).unwrap_or_default();
        item(language.pick("power", "功耗"), &format!("{watts:.0}{limit} W"), "plain", None);
    }
    if let Some(celsius) = gpu.temperature_celsius {
        item(language.pick("temperature", "温度"), &format!("{celsius:.0} °C"), "plain", None);
    }
    let throttling = gpu.throttle_reasons.iter().filter(|(reason, active)| *active && *reason != "idle");
    let throttling: Vec<_> = throttling.map(|(reason, _)| throttle_words(reason, language)).collect();
    if !throttling.is_empty() {
        let reasons = Escaped(&throttling.join(language.pick(", ", "、"))).to_string();
        item(language.pick("clocks reduced", "降频原因"), &reasons, "warn", None);
    }
    if let Some(xid) = gpu.last_xid {
        item(language.pick("last error", "最近错误"), &format!("Xid {xid}"), "warn", None);
    }
    page.push_str("</dl>");
    holders(page, gpu, snapshot, request);
    page.push_str("</li>\n");
}

fn throttle_words(reason: &str, language: Language) -> String {
    let chinese = match reason {
        "applications_clocks" => "应用程序时钟设置",
        "software_power_cap" => "功耗上限",
        "hardware_slowdown" => "硬件降速",
        "sync_boost" => "同步加速组",
        "software_thermal" => "温度过高（软件）",
        "hardware_thermal" => "温度过高（硬件）",
        "hardware_power_brake" => "供电制动",
        "display_clocks" => "显示时钟设置",
        other => other,
    };
    language.pick(&reason.replace('_', " "), chinese).to_owned()
}

fn holders(page: &mut String, gpu: &Gpu, snapshot: &Snapshot, request: &Request) {
    let mut holders: Vec<_> = snapshot
        .containers
        .iter()
        .filter_map(|row| {
            let used = row.gpus.iter().find(|used| used.index == gpu.index && used.uuid == gpu.uuid)?;
            Some((used.memory_used_bytes.filter(|bytes| *bytes > 0)?, row))
        })
        .collect();
    holders.sort_unstable_by_key(|(bytes, row)| (std::cmp::Reverse(*bytes), row.key));
    if holders.is_empty() {
        return;
    }
    let _ = write!(page, "<p>{}", request.language.pick("Memory held by ", "显存占用："));
    for (place, (bytes, row)) in holders.iter().take(HOLDERS_MAX).enumerate() {
        let before = if place == 0 { "" } else { request.language.pick(", ", "、") };
        let _ = write!(page, "{before}{} ({})", linked(row, request), size(*bytes));
    }
    if let Some(more) = holders.len().checked_sub(HOLDERS_MAX + 1) {
        let more = more + 1;
        page.push_str(&say!(request.language, " and {more} more", "，另有 {more} 个容器"));
    }
    page.push_str("</p>");
}
