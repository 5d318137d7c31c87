//! The numbers of one container, each with the PromQL query that graphs it.

use std::fmt::Write as _;

use super::{
    Language, Request,
    escaped::{Markup, is_invisible},
    histogram::quantile,
    line::{self, Value},
    quantity::{percent, short, size},
    words,
};
use crate::snapshot::{ContainerRow, identity::Identity, nvidia_driver::DriverCounters};

/// A number: what it is, its value now, and the query.
struct Number {
    what: &'static str,
    value: String,
    query: String,
}

/// Writes the table.
pub(super) fn numbers(page: &mut String, row: &ContainerRow, request: &Request) {
    let language = request.language;
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        "<section aria-labelledby=numbers><h2 id=numbers>{}</h2>\n<p>{}</p>\n<table class=numbers><thead><tr>\
         <th scope=col>{}<th scope=col>{}<th scope=col>PromQL<tbody>\n",
        language.pick("Numbers", "数值"),
        language.pick(
            "CPU values are means of the last half minute. Click a query to select it.",
            "CPU 数值为最近半分钟的平均值。点击查询即可选中。"
        ),
        language.pick("measure", "指标"),
        language.pick("now", "当前值"),
    );
    for number in list(row, language) {
        let _ = writeln!(
            page,
            "<tr><th scope=row>{}<td>{}<td><code class=query>{}</code></tr>",
            number.what,
            number.value,
            Markup(&number.query)
        );
    }
    page.push_str("</table></section>\n");
}

/// The numbers that are known.
fn list(row: &ContainerRow, language: Language) -> Vec<Number> {
    let of = selector(&row.identity);
    let text = |value: Value| value.text;
    let counters = row.nvidia_driver.as_ref().map(|driver| &driver.counters);
    let refused = counters.map(DriverCounters::refused);
    let cpu = &row.cgroup.cpu;
    let throttled = cpu.periods.zip(cpu.throttled_periods).filter(|(periods, _)| *periods > 0);
    let waits = row.scheduler.as_ref().map(|scheduler| &scheduler.waits);
    let wait_sum = format!("sum(rate(glassbox_container_runqueue_latency_seconds_sum{of}[1m]))");
    let cpu_sum = format!("sum(rate(container_cpu_usage_seconds_total{of}[1m]))");
    let sum = |family: &str| format!("sum({family}{of})");
    let throttled_sum = |family: &str| format!("sum(rate(container_cpu_cfs_{family}_total{of}[1m]))");
    let all = [
        (
            language.pick("CPU used, cores", "CPU 使用（核）"),
            row.rates.cpu_cores.map(|cores| format!("{cores:.2}")),
            cpu_sum.clone(),
        ),
        (
            language.pick("CPU used, of the quota", "CPU 使用 / 配额"),
            line::cpu(row).and_then(|value| value.ratio).map(percent),
            format!("{cpu_sum} / (sum(container_spec_cpu_quota{of}) / sum(container_spec_cpu_period{of}))"),
        ),
        (
            language.pick("periods throttled, since the start", "限流周期占比（自启动）"),
            throttled.map(|(periods, throttled)| percent(throttled as f64 / periods as f64)),
            format!("{} / {}", throttled_sum("throttled_periods"), throttled_sum("periods")),
        ),
        (
            language.pick("CPU wait, of the runnable time", "等待 CPU / 可运行时间"),
            line::wait(row).map(text),
            format!("{wait_sum} / ({wait_sum} + {cpu_sum})"),
        ),
        (
            language.pick("99 % of waits for a CPU take at most", "99 % 的 CPU 等待不超过"),
            waits.and_then(|waits| quantile(waits, 0.99)).map(short),
            format!(
                "histogram_quantile(0.99, sum by (le) (rate(glassbox_container_runqueue_latency_seconds_bucket{of}[1m])))"
            ),
        ),
        (
            language.pick("memory, working set", "内存工作集"),
            row.cgroup.memory.working_set_bytes.map(size),
            sum("container_memory_working_set_bytes"),
        ),
        (
            language.pick("memory, of the limit", "内存使用 / 上限"),
            line::memory(row).and_then(|value| value.ratio).map(percent),
            format!(
                "{} / {}",
                sum("container_memory_working_set_bytes"),
                sum("container_spec_memory_limit_bytes")
            ),
        ),
        (
            language.pick("OOM kills", "OOM 终止"),
            row.oom.total().map(|it| it.to_string()),
            sum("container_oom_events_total"),
        ),
        (
            language.pick("GPU time", "GPU 时间"),
            row.gpus
                .iter()
                .any(|gpu| gpu.utilization_ratio.is_some())
                .then(|| line::gpu_time(row, language).map(text))
                .flatten(),
            sum("glassbox_container_gpu_utilization_ratio"),
        ),
        (
            language.pick("GPU memory", "显存"),
            line::gpu_memory(row).map(text),
            sum("glassbox_container_gpu_memory_used_bytes"),
        ),
        (
            language.pick("GPU memory allocations refused", "显存分配失败"),
            refused.map(|it| it.to_string()),
            sum("glassbox_container_gpu_memory_allocation_failures_total"),
        ),
        (
            language.pick("driver calls in flight", "进行中的驱动调用"),
            row.nvidia_driver.as_ref().map(|driver| driver.in_flight.to_string()),
            sum("glassbox_container_nvidia_ioctls_in_flight"),
        ),
        (
            language.pick("GPU state", "GPU 状态"),
            row.gpu_state.and_then(|state| words::gpu_words(state, language)).map(str::to_owned),
            format!("glassbox_container_gpu_state{of} == 1"),
        ),
        (
            language.pick("requests in flight", "进行中的请求"),
            row.requests.as_ref().map(|requests| requests.in_flight.to_string()),
            sum("glassbox_container_http_requests_in_flight"),
        ),
        (
            language.pick("restarts", "重启次数"),
            row.status.restarts.map(|it| it.to_string()),
            format!("max(glassbox_container_restarts_total{of})"),
        ),
        (
            language.pick("exit code of the last run", "最近一次退出码"),
            row.status.last_exit.and_then(|exit| exit.code).map(|it| it.to_string()),
            format!("max(glassbox_container_last_exit_code{of})"),
        ),
    ];
    all.into_iter()
        .filter_map(|(what, value, query)| {
            Some(Number { what, value: value.filter(|it| !it.is_empty())?, query })
        })
        .collect()
}

/// The label matchers of a container.
fn selector(identity: &Identity) -> String {
    let mut selector = format!("{{container={}", quoted(&identity.container));
    for (label, value) in [("namespace", &identity.namespace), ("pod", &identity.pod)] {
        if let Some(value) = value {
            let _ = write!(selector, ",{label}={}", quoted(value));
        }
    }
    selector.push('}');
    selector
}

/// A string literal of PromQL, which has the escapes of Go. Invisible characters are escaped so that they can be copied.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            c if c.is_control() || is_invisible(c) => write!(quoted, "\\U{:08x}", u32::from(c)),
            c => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selector_of_a_hostile_name_is_one_literal() {
        let identity = Identity {
            container: "a\"} or vector(1) #\\\n\u{202e}".into(),
            namespace: Some("prod".into()),
            pod: Some("p".into()),
            ..Identity::default()
        };
        let expected = r#"{container="a\"} or vector(1) #\\\U0000000a\U0000202e",namespace="prod",pod="p"}"#;
        assert_eq!(selector(&identity), expected);
    }
}
