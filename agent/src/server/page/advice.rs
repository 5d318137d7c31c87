//! What to do about a problem, and the figures that show it.

use super::{
    Language,
    language::say,
    name::short_id,
    quantity::{size, size_of},
};
use crate::snapshot::{
    ContainerRow,
    health::StuckReason,
    identity::{Identity, Runtime},
    inference::Library,
    memory_leak::MemoryFloor,
    problem::Problem,
};

/// Figures that show a problem. Contains no text from containers.
pub(super) fn evidence(row: &ContainerRow, problem: &Problem, language: Language) -> String {
    match problem {
        Problem::StuckInDriver { .. } => {
            let calls = row.nvidia_driver.as_ref().map_or(0, |driver| driver.in_flight);
            let calls = say!(language, "Driver calls in flight: {calls}.", "进行中的驱动调用：{calls}。");
            let held = super::gpu_memory_bytes(row).map(size);
            let held =
                held.map(|held| say!(language, " It holds {held} of GPU memory.", "占用显存 {held}。"));
            calls + &held.unwrap_or_default()
        }
        Problem::Stuck { .. } => row
            .requests
            .as_ref()
            .map(|requests| {
                let count = requests.in_flight;
                say!(language, "Requests in flight: {count}.", "进行中的请求：{count}。")
            })
            .unwrap_or_default(),
        Problem::OomKilled { .. } | Problem::NearMemoryLimit { .. } => memory(row, language),
        Problem::GpuMemoryRefused { .. } => {
            let held = super::gpu_memory_bytes(row).map(size);
            held.map(|held| say!(language, "It holds {held} of GPU memory.", "占用显存 {held}。"))
                .unwrap_or_default()
        }
        Problem::OnCpuDespiteGpu => on_cpu(row, language),
        Problem::Throttled { .. } => quota_cores(row)
            .map(|cores| say!(language, "Quota: {cores:.2} cores.", "配额：{cores:.2} 核。"))
            .unwrap_or_default(),
        Problem::StarvedOfCpu { .. } => row
            .rates
            .waiting
            .zip(row.rates.cpu_cores)
            .map(|(waiting, cores)| {
                say!(
                    language,
                    "It uses {cores:.2} cores; {waiting:.1} threads wait for a CPU on average.",
                    "使用 {cores:.2} 核；平均有 {waiting:.1} 个线程在等待 CPU。"
                )
            })
            .unwrap_or_default(),
        Problem::MemoryLeak { memory, .. } => row
            .memory_floors
            .iter()
            .find(|floor| floor.memory == *memory)
            .map(|floor| {
                let held = size(floor.floor_bytes);
                say!(language, "It holds {held} between jobs", "任务之间占用 {held}")
                    + &per_job(floor, language)
            })
            .unwrap_or_default(),
        Problem::Spinning | Problem::Unhealthy | Problem::CrashLooping { .. } => String::new(),
    }
}

/// CPU usage, and the libraries, whose names are from a closed list.
fn on_cpu(row: &ContainerRow, language: Language) -> String {
    let Some((cores, inference)) = row.rates.cpu_cores.zip(row.inference) else { return String::new() };
    let libraries: Vec<_> = inference.libraries.iter().map(Library::name).collect();
    let libraries = libraries.join(", ");
    say!(
        language,
        "It uses {cores:.1} cores with {libraries}, and has no CUDA context.",
        "使用 {cores:.1} 核运行 {libraries}，没有 CUDA 上下文。"
    )
}

fn per_job(floor: &MemoryFloor, language: Language) -> String {
    let Some(trend) = floor.trend else { return language.pick(".", "。").to_owned() };
    // A float out of range becomes the nearest integer.
    let growth = size(trend.bytes_per_job as u64);
    say!(language, ", {growth} more after each job.", "，每个任务后增加 {growth}。")
}

fn memory(row: &ContainerRow, language: Language) -> String {
    let Some(used) = row.cgroup.memory.working_set_bytes else { return String::new() };
    let used = match row.cgroup.limits.finite_memory_bytes() {
        Some(limit) => size_of(used, limit),
        None => size(used),
    };
    say!(language, "Memory: {used}.", "内存：{used}。")
}

/// The CPU quota in cores; `None` without one.
pub(super) fn quota_cores(row: &ContainerRow) -> Option<f64> {
    let limits = &row.cgroup.limits;
    let (quota_us, period_us) = limits.cpu_quota_us.zip(limits.cpu_period_us)?;
    (period_us > 0).then(|| quota_us as f64 / period_us as f64)
}

/// What to do. Contains no text from containers except IDs that need no quotes.
pub(super) fn remedy(row: &ContainerRow, problem: &Problem, language: Language) -> String {
    let command = |arguments| command(&row.identity, arguments);
    let text = |english, chinese| language.pick(english, chinese).to_owned();
    match problem {
        Problem::StuckInDriver { .. } | Problem::Stuck { reason: StuckReason::NvidiaDriver, .. } => text(
            "Look for NVRM messages in the kernel log (<code>dmesg</code>). Restart the container; if it cannot be killed, reset \
             the GPU or reboot the host.",
            "在内核日志（<code>dmesg</code>）中查找 NVRM 消息。重启容器；如果停不掉，复位 GPU 或重启主机。",
        ),
        Problem::Stuck { reason, .. } => {
            text(advice(*reason), chinese_advice(*reason)) + &command("logs --tail 50")
        }
        Problem::Spinning => text(
            "A GPU kernel waits in a loop, often for another process (NCCL) that has died. Record a stack trace (py-spy), then \
             restart the container.",
            "GPU 内核在循环等待，常见原因是另一个进程（NCCL）已退出。先保留调用栈（py-spy），再重启容器。",
        ),
        Problem::OnCpuDespiteGpu => {
            text(
                "Its log says why it does not use the GPU: usually a CPU-only build of the library, or CUDA or cuDNN libraries \
                 that are missing or do not fit the driver.",
                "日志会说明没有使用 GPU 的原因：通常是装了 CPU 版的库，或 CUDA、cuDNN 缺失或与驱动不匹配。",
            ) + &command("logs --tail 50")
        }
        Problem::Unhealthy => {
            text("Read the output of its health check.", "查看健康检查的输出。") + &command("inspect")
        }
        Problem::OomKilled { .. } => text(
            "Raise the memory limit, or let it do less at once: fewer threads, a smaller batch or resolution.",
            "提高内存上限，或减少并发工作：更少线程、更小的批次或分辨率。",
        ),
        Problem::CrashLooping { .. } => {
            text("Read the end of its log.", "查看日志末尾。") + &command("logs --tail 50")
        }
        Problem::GpuMemoryRefused { .. } => text(
            "The list of GPUs shows who holds the memory. Use a smaller batch, resolution or model, or another GPU.",
            "GPU 列表显示谁占用了显存。减小批次、分辨率或模型，或换一块 GPU。",
        ),
        Problem::NearMemoryLimit { .. } => text(
            "Raise the memory limit before the kernel kills a process.",
            "提高内存上限，否则内核可能杀死其中的进程。",
        ),
        Problem::Throttled { .. } => {
            text("Raise the CPU quota, or let it run fewer threads.", "提高 CPU 配额，或减少线程数。")
        }
        Problem::StarvedOfCpu { .. } => text(
            "Other tasks use the CPUs. Stop or limit them, or raise the container's CPU shares.",
            "CPU 被其他任务占用。停止或限制它们，或提高该容器的 CPU 份额。",
        ),
        Problem::MemoryLeak { .. } => text(
            "Restart it at a quiet time, before it fails. Then find what it keeps from each job: results, sessions, caches.",
            "趁空闲时、在它出错之前重启。然后查找每个任务遗留了什么：结果、会话、缓存。",
        ),
    }
}

const fn advice(reason: StuckReason) -> &'static str {
    match reason {
        StuckReason::Stopped => {
            "Find who stopped it (SIGSTOP, a debugger or a freezer); SIGCONT continues it."
        }
        StuckReason::Disk => "Check the volume or network file system that it reads or writes.",
        StuckReason::BusyLoop => {
            "A stack trace (py-spy, perf) shows the loop. Restart the container if it does not recover."
        }
        StuckReason::Network => "Check the service to which it is connected.",
        StuckReason::Lock => {
            "A stack trace (py-spy, gdb) shows the lock. Restart the container if it does not recover."
        }
        StuckReason::AcceptQueue => {
            "It accepts no connections: check the number of its workers, or restart it."
        }
        StuckReason::NvidiaDriver | StuckReason::Unknown => "Read the end of its log.",
    }
}

const fn chinese_advice(reason: StuckReason) -> &'static str {
    match reason {
        StuckReason::Stopped => "找出是谁停止了它（SIGSTOP、调试器或 freezer）；SIGCONT 使其继续运行。",
        StuckReason::Disk => "检查它读写的卷或网络文件系统。",
        StuckReason::BusyLoop => "调用栈（py-spy、perf）能显示循环的位置。如果不恢复，请重启容器。",
        StuckReason::Network => "检查它所连接的服务。",
        StuckReason::Lock => "调用栈（py-spy、gdb）能显示是哪个锁。如果不恢复，请重启容器。",
        StuckReason::AcceptQueue => "它不接受连接：检查工作进程数，或重启容器。",
        StuckReason::NvidiaDriver | StuckReason::Unknown => "查看日志末尾。",
    }
}

/// A command of the container's runtime, with the ID: a name could contain anything.
fn command(identity: &Identity, arguments: &str) -> String {
    let program = match identity.runtime {
        Runtime::Docker => "docker",
        Runtime::Podman => "podman",
        Runtime::Containerd | Runtime::CriO if identity.pod.is_some() => "crictl",
        Runtime::Containerd => "nerdctl",
        Runtime::CriO => "crictl",
        Runtime::Unknown => return String::new(),
    };
    let id = short_id(identity);
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return String::new();
    }
    format!(" <code>{program} {arguments} {id}</code>")
}
