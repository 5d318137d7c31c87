//! Problems and states of a container in words.

use std::fmt;

use super::{
    Language,
    language::say,
    quantity::{Span, size},
};
use crate::snapshot::{
    ContainerRow,
    gpu_state::GpuState,
    health::StuckReason,
    lifecycle::{ContainerState, ExitReason, Health, LastExit},
    memory_leak::Memory,
    problem::Problem,
};

/// The words, and the CSS class for their colour.
pub(super) struct Status {
    pub(super) words: String,
    pub(super) class: &'static str,
}

/// The status of a container at the time of the snapshot: its problems, or its state if it has none.
pub(super) fn status(row: &ContainerRow, language: Language) -> Status {
    if !row.problems.is_empty() {
        let words: Vec<_> = row.problems.iter().map(|problem| Words(problem, language).to_string()).collect();
        let class = if row.problems.iter().all(Problem::is_mild) { "warn" } else { "bad" };
        return Status { words: words.join(language.pick("; ", "；")), class };
    }
    if row.is_running() {
        // A container with a live cgroup has been started, even if its runtime last reported `created`.
        let state = row
            .status
            .state
            .filter(|state| *state != ContainerState::Created)
            .unwrap_or(ContainerState::Running);
        let class = if state == ContainerState::Running { "good" } else { "warn" };
        return Status { words: state_words(state, language).to_owned(), class };
    }
    let Some(ago) = row.ended_ago.map(|ago| Span(ago, language)) else {
        let words = language.pick("ended, cgroup left behind", "已结束，cgroup 未清理");
        return Status { words: words.to_owned(), class: "dim" };
    };
    let exit = row.status.last_exit;
    match (exit.and_then(|exit| exit.code), exit.and_then(|exit| exit.reason)) {
        (Some(0), _) | (None, Some(ExitReason::Completed)) => {
            Status { words: say!(language, "completed {ago} ago", "{ago}前正常结束"), class: "dim" }
        }
        (Some(_), _) => {
            let exit = exit.map(|exit| exit_words(&exit, language)).unwrap_or_default();
            Status {
                words: say!(language, "exited {ago} ago: {exit}", "{ago}前退出：{exit}"), class: "warn"
            }
        }
        (None, _) => Status { words: say!(language, "ended {ago} ago", "{ago}前结束"), class: "dim" },
    }
}

/// A state of Docker.
const fn state_words(state: ContainerState, language: Language) -> &'static str {
    match state {
        ContainerState::Created => language.pick("created", "已创建"),
        ContainerState::Running => language.pick("running", "运行中"),
        ContainerState::Paused => language.pick("paused", "已暂停"),
        ContainerState::Restarting => language.pick("restarting", "正在重启"),
        ContainerState::Exited => language.pick("exited", "已退出"),
        ContainerState::Dead => language.pick("dead", "无法删除"),
    }
}

/// Exit code and reason, such as `137 (OOM-killed)`.
pub(super) fn exit_words(exit: &LastExit, language: Language) -> String {
    let reason = exit.reason.map(|reason| match reason {
        ExitReason::Completed => language.pick("completed", "正常结束"),
        ExitReason::Error => language.pick("error", "出错"),
        ExitReason::OomKilled => language.pick("OOM-killed", "OOM 终止"),
        ExitReason::GpuMemory => language.pick("GPU memory refused", "显存分配失败"),
        ExitReason::GpuFault => language.pick("GPU fault", "GPU 故障"),
        ExitReason::Signal(name) => name,
    });
    match (exit.code, reason) {
        (Some(code), Some(reason)) => say!(language, "{code} ({reason})", "{code}（{reason}）"),
        (Some(code), None) => code.to_string(),
        (None, Some(reason)) => reason.to_owned(),
        (None, None) => language.pick("code unknown", "退出码未知").to_owned(),
    }
}

/// The GPU state; `None` for a container without a GPU.
pub(super) const fn gpu_words(state: GpuState, language: Language) -> Option<&'static str> {
    Some(match state {
        GpuState::NoGpu => return None,
        GpuState::StuckInDriver => language.pick("stuck in driver", "卡在驱动"),
        GpuState::OnCpuDespiteGpu => language.pick("on CPU despite GPU", "有 GPU 却用 CPU"),
        GpuState::Spinning => language.pick("spinning", "空转"),
        GpuState::Busy => language.pick("busy", "忙碌"),
        GpuState::WaitingForCpu => language.pick("waiting for CPU", "等待 CPU"),
        GpuState::Loading => language.pick("loading", "加载中"),
        GpuState::Idle => language.pick("idle with memory", "空闲占用显存"),
    })
}

/// The result of the health check; `None` without one.
pub(super) const fn health_words(health: Health, language: Language) -> Option<&'static str> {
    Some(match health {
        Health::Unchecked => return None,
        Health::Starting => language.pick("starting", "启动中"),
        Health::Healthy => language.pick("healthy", "正常"),
        Health::Unhealthy => language.pick("unhealthy", "异常"),
    })
}

const fn reason_words(reason: StuckReason, language: Language) -> &'static str {
    let chinese = match reason {
        StuckReason::Stopped => "所有线程都已停止",
        StuckReason::NvidiaDriver => "卡在 NVIDIA 驱动",
        StuckReason::Disk => "等待磁盘",
        StuckReason::BusyLoop => "死循环，占用 CPU 却没有输出",
        StuckReason::Network => "等待网络",
        StuckReason::Lock => "等待锁",
        StuckReason::AcceptQueue => "不接受新连接",
        StuckReason::Unknown => "原因未知",
    };
    language.pick(reason.words(), chinese)
}

pub(super) const fn memory_words(memory: Memory, language: Language) -> &'static str {
    match memory {
        Memory::Gpu | Memory::Driver => language.pick("GPU memory", "显存"),
        Memory::Host => language.pick("host memory", "主机内存"),
    }
}

/// A problem in words.
pub(in super::super) struct Words<'a>(pub(in super::super) &'a Problem, pub(in super::super) Language);

impl fmt::Display for Words<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(problem, language) = *self;
        let span = |duration| Span(duration, language);
        let percent = |ratio: f64| format!("{:.0} %", ratio * 100.0);
        out.write_str(&match *problem {
            Problem::StuckInDriver { since: Some(since) } => {
                let since = span(since);
                say!(language, "stuck in the GPU driver for {since}", "卡在 GPU 驱动中 {since}")
            }
            Problem::StuckInDriver { since: None } => {
                language.pick("stuck in the GPU driver", "卡在 GPU 驱动中").to_owned()
            }
            Problem::Stuck { reason, since } => {
                let (since, reason) = (span(since), reason_words(reason, language));
                say!(language, "stuck for {since}: {reason}", "已卡住 {since}：{reason}")
            }
            Problem::Spinning => {
                language.pick("GPU looks busy but does nothing", "GPU 看似繁忙，实际空转").to_owned()
            }
            Problem::OnCpuDespiteGpu => {
                language.pick("runs on the CPU despite its GPU", "有 GPU 却在 CPU 上运行").to_owned()
            }
            Problem::Unhealthy => {
                language.pick("unhealthy: its health check fails", "异常：健康检查失败").to_owned()
            }
            Problem::OomKilled { kills, ago } => {
                let ago = span(ago);
                match kills {
                    Some(kills) if kills > 1 => {
                        say!(
                            language,
                            "OOM-killed {kills} times, last {ago} ago",
                            "OOM 终止 {kills} 次，最近一次在 {ago}前"
                        )
                    }
                    _ => say!(language, "OOM-killed {ago} ago", "{ago}前 OOM 终止"),
                }
            }
            Problem::CrashLooping { restarts, code } => {
                let code = code.map(|code| say!(language, ", exit code {code}", "，退出码 {code}"));
                let code = code.unwrap_or_default();
                say!(
                    language,
                    "crash-looping: {restarts} restarts in 10 min{code}",
                    "反复重启：10 分钟内 {restarts} 次{code}"
                )
            }
            Problem::GpuMemoryRefused { failures, ago } => {
                let ago = span(ago);
                match failures {
                    1 => say!(language, "GPU memory refused {ago} ago", "{ago}前显存分配失败"),
                    _ => say!(
                        language,
                        "GPU memory refused {failures} times, last {ago} ago",
                        "显存分配失败 {failures} 次，最近一次在 {ago}前"
                    ),
                }
            }
            Problem::NearMemoryLimit { ratio } => {
                let ratio = percent(ratio);
                say!(language, "uses {ratio} of its memory limit", "内存已用到上限的 {ratio}")
            }
            Problem::Throttled { ratio } => {
                let ratio = percent(ratio);
                say!(language, "CPU throttled in {ratio} of periods", "CPU 限流：{ratio} 的周期用完配额")
            }
            Problem::StarvedOfCpu { ratio } => {
                let ratio = percent(ratio);
                say!(
                    language,
                    "starved of CPU: waits in {ratio} of its runnable time",
                    "CPU 不足：可运行时间的 {ratio} 在等待 CPU"
                )
            }
            Problem::MemoryLeak { memory, bytes_per_hour, full_in } => {
                let memory = memory_words(memory, language);
                // A float out of range becomes the nearest integer.
                let growth = size(bytes_per_hour as u64);
                let full = full_in.map(|full_in| {
                    let full_in = span(full_in);
                    say!(language, ", full in {full_in}", "，预计 {full_in}后占满")
                });
                let full = full.unwrap_or_default();
                say!(
                    language,
                    "memory leak suspected: {memory} grows by {growth} per hour{full}",
                    "疑似内存泄漏：{memory}每小时增长 {growth}{full}"
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_problem_has_words_in_each_language() {
        let seconds = Duration::from_secs;
        for (problem, english, chinese) in [
            (
                Problem::StuckInDriver { since: Some(seconds(432)) },
                "stuck in the GPU driver for 7 min 12 s",
                "卡在 GPU 驱动中 7 分 12 秒",
            ),
            (Problem::StuckInDriver { since: None }, "stuck in the GPU driver", "卡在 GPU 驱动中"),
            (
                Problem::Stuck { reason: StuckReason::Lock, since: seconds(12) },
                "stuck for 12 s: blocked on a lock",
                "已卡住 12 秒：等待锁",
            ),
            (Problem::Spinning, "GPU looks busy but does nothing", "GPU 看似繁忙，实际空转"),
            (Problem::OnCpuDespiteGpu, "runs on the CPU despite its GPU", "有 GPU 却在 CPU 上运行"),
            (Problem::Unhealthy, "unhealthy: its health check fails", "异常：健康检查失败"),
            (
                Problem::OomKilled { kills: Some(6), ago: seconds(4) },
                "OOM-killed 6 times, last 4 s ago",
                "OOM 终止 6 次，最近一次在 4 秒前",
            ),
            (
                Problem::OomKilled { kills: None, ago: seconds(61) },
                "OOM-killed 1 min 1 s ago",
                "1 分 1 秒前 OOM 终止",
            ),
            (
                Problem::CrashLooping { restarts: 5, code: Some(1) },
                "crash-looping: 5 restarts in 10 min, exit code 1",
                "反复重启：10 分钟内 5 次，退出码 1",
            ),
            (
                Problem::GpuMemoryRefused { failures: 3, ago: seconds(7) },
                "GPU memory refused 3 times, last 7 s ago",
                "显存分配失败 3 次，最近一次在 7 秒前",
            ),
            (
                Problem::GpuMemoryRefused { failures: 1, ago: seconds(7) },
                "GPU memory refused 7 s ago",
                "7 秒前显存分配失败",
            ),
            (
                Problem::NearMemoryLimit { ratio: 0.951 },
                "uses 95 % of its memory limit",
                "内存已用到上限的 95 %",
            ),
            (
                Problem::Throttled { ratio: 0.388 },
                "CPU throttled in 39 % of periods",
                "CPU 限流：39 % 的周期用完配额",
            ),
            (
                Problem::StarvedOfCpu { ratio: 0.6 },
                "starved of CPU: waits in 60 % of its runnable time",
                "CPU 不足：可运行时间的 60 % 在等待 CPU",
            ),
            (
                Problem::MemoryLeak {
                    memory: Memory::Gpu,
                    bytes_per_hour: 1.5 * f64::from(1 << 30),
                    full_in: Some(seconds(7380)),
                },
                "memory leak suspected: GPU memory grows by 1.5 GiB per hour, full in 2 h 3 min",
                "疑似内存泄漏：显存每小时增长 1.5 GiB，预计 2 小时 3 分后占满",
            ),
            (
                Problem::MemoryLeak {
                    memory: Memory::Host,
                    bytes_per_hour: f64::from(20 << 20),
                    full_in: None,
                },
                "memory leak suspected: host memory grows by 20 MiB per hour",
                "疑似内存泄漏：主机内存每小时增长 20 MiB",
            ),
        ] {
            assert_eq!(Words(&problem, Language::English).to_string(), english);
            assert_eq!(Words(&problem, Language::Chinese).to_string(), chinese);
        }
    }

    #[test]
    fn an_exit_has_its_code_and_its_reason_if_they_are_known() {
        let words = |code, reason| {
            exit_words(&LastExit { at: std::time::SystemTime::UNIX_EPOCH, code, reason }, Language::English)
        };
        assert_eq!(words(Some(137), Some(ExitReason::OomKilled)), "137 (OOM-killed)");
        assert_eq!(words(Some(1), Some(ExitReason::GpuMemory)), "1 (GPU memory refused)");
        assert_eq!(words(Some(134), Some(ExitReason::GpuFault)), "134 (GPU fault)");
        assert_eq!(words(Some(143), Some(ExitReason::Signal("SIGTERM"))), "143 (SIGTERM)");
        assert_eq!(words(Some(3), None), "3");
        assert_eq!(words(None, None), "code unknown");
    }
}
