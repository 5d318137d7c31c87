//! The table of containers: one line each.

use std::fmt::Write as _;

use super::{
    Language, Request,
    advice::quota_cores,
    bar::bar,
    gpus,
    language::say,
    name::linked,
    quantity::{clock, percent, size, size_of},
    words,
};
use crate::{
    analysis::problems::MEMORY_RATIO,
    snapshot::{ContainerRow, lifecycle::LastExit},
};

/// Maximum number of containers in a table; the metrics contain all of them.
const ROWS_MAX: usize = 500;
/// The share of the CPU quota, and of waiting in the runnable time, from which they are warnings.
const CPU_RATIO: f64 = 0.9;
const WAIT_RATIO: f64 = 0.5;

/// A value of a container.
#[derive(Default)]
pub(super) struct Value {
    /// Contains no text from containers.
    pub(super) text: String,
    /// The share of its limit, for a bar.
    pub(super) ratio: Option<f64>,
    pub(super) is_warning: bool,
}

impl Value {
    fn new(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    fn with_ratio(text: String, ratio: f64, warning: f64) -> Self {
        Self { text, ratio: Some(ratio), is_warning: ratio > warning }
    }
}

/// The columns after name and status: the heading, and the value of a container.
type Column = (fn(Language) -> &'static str, fn(&ContainerRow, Language) -> Option<Value>);

const COLUMNS: [Column; 8] = [
    (|language| language.pick("CPU, cores", "CPU（核）"), |row, _| cpu(row)),
    (|language| language.pick("CPU wait", "等待 CPU"), |row, _| wait(row)),
    (|language| language.pick("memory", "内存"), |row, _| memory(row)),
    (|language| language.pick("GPU time", "GPU 时间"), gpu_time),
    (|language| language.pick("GPU memory", "显存"), |row, _| gpu_memory(row)),
    (
        |language| language.pick("requests", "请求"),
        |row, _| row.requests.as_ref().map(|requests| Value::new(requests.in_flight.to_string())),
    ),
    (
        |language| language.pick("restarts", "重启次数"),
        |row, _| row.status.restarts.map(|restarts| Value::new(restarts.to_string())),
    ),
    (
        |language| language.pick("last exit", "最近一次退出"),
        |row, language| row.status.last_exit.as_ref().map(|exit| Value::new(last_exit(exit, language))),
    ),
];

/// Writes a table; `label` is its name for screen readers.
pub(super) fn table(page: &mut String, rows: &[&ContainerRow], label: &str, request: &Request) {
    let language = request.language;
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        "<table aria-label=\"{label}\"><thead><tr><th scope=col>{}<th scope=col>{}",
        language.pick("container", "容器"),
        language.pick("status", "状态")
    );
    for (heading, _) in &COLUMNS {
        let _ = write!(page, "<th scope=col>{}", heading(language));
    }
    page.push_str("<tbody>\n");
    for row in rows.iter().take(ROWS_MAX) {
        line(page, row, request);
    }
    page.push_str("</table>\n");
    if let Some(more) = rows.len().checked_sub(ROWS_MAX + 1) {
        let more = more + 1;
        let _ = writeln!(page, "<p>{}</p>", say!(language, "and {more} more", "另有 {more} 个"));
    }
}

fn line(page: &mut String, row: &ContainerRow, request: &Request) {
    let language = request.language;
    let status = words::status(row, language);
    let _ = write!(
        page,
        "<tr><th scope=row>{}<td class=\"s {}\">{}",
        linked(row, request),
        status.class,
        status.words
    );
    for (heading, value) in &COLUMNS {
        match value(row, language) {
            None => page.push_str("<td>"),
            Some(value) => {
                let class = if value.is_warning { " class=warn" } else { "" };
                let bar = value.ratio.map(bar).unwrap_or_default();
                let _ = write!(page, "<td data-l=\"{}\"{class}>{}{bar}", heading(language), value.text);
            }
        }
    }
    page.push_str("</tr>\n");
}

/// CPU time used, of the quota.
pub(super) fn cpu(row: &ContainerRow) -> Option<Value> {
    let cores = row.rates.cpu_cores?;
    Some(match quota_cores(row).filter(|quota| *quota > 0.0) {
        Some(quota) => Value::with_ratio(format!("{cores:.2} / {quota:.2}"), cores / quota, CPU_RATIO),
        None => Value::new(format!("{cores:.2}")),
    })
}

/// Share of the runnable time.
pub(super) fn wait(row: &ContainerRow) -> Option<Value> {
    let ratio = row.rates.wait_ratio()?;
    Some(Value { text: percent(ratio), ratio: None, is_warning: ratio > WAIT_RATIO })
}

/// Working set, of the limit.
pub(super) fn memory(row: &ContainerRow) -> Option<Value> {
    let used = row.cgroup.memory.working_set_bytes?;
    Some(match row.cgroup.limits.finite_memory_bytes() {
        Some(limit) => Value::with_ratio(size_of(used, limit), used as f64 / limit as f64, MEMORY_RATIO),
        None => Value::new(size(used)),
    })
}

/// The sum over all GPUs, and the GPU state.
pub(super) fn gpu_time(row: &ContainerRow, language: Language) -> Option<Value> {
    let ratio = row.gpus.iter().filter_map(|gpu| gpu.utilization_ratio).reduce(|one, other| one + other);
    let state = row.gpu_state.and_then(|state| words::gpu_words(state, language));
    let text: Vec<_> = ratio.map(percent).into_iter().chain(state.map(str::to_owned)).collect();
    (!text.is_empty()).then(|| Value::new(text.join(language.pick(", ", "，"))))
}

/// The sum over all GPUs; of the total memory if it is only one.
pub(super) fn gpu_memory(row: &ContainerRow) -> Option<Value> {
    let bytes = super::gpu_memory_bytes(row)?;
    let only =
        if let [gpu] = &row.gpus[..] { gpu.memory_used_ratio.filter(|it| it.is_finite()) } else { None };
    Some(match only {
        Some(ratio) => Value::with_ratio(size(bytes), ratio, gpus::MEMORY_RATIO),
        None => Value::new(size(bytes)),
    })
}

/// Exit code, reason and time.
pub(super) fn last_exit(exit: &LastExit, language: Language) -> String {
    let (words, at) = (words::exit_words(exit, language), clock(exit.at));
    say!(language, "{words} at {at}", "{at} {words}")
}
