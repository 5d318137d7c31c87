//! A card for each container with problems: what is wrong, since when, the figures that show it, and what to do.

use std::fmt::Write as _;

use super::{Escaped, gibibytes, name, status};
use crate::snapshot::{
    ContainerRow,
    health::StuckReason,
    identity::{Identity, Runtime},
    problem::Problem,
};

/// Maximum number of cards; the table has all containers.
const CARDS_MAX: usize = 50;

/// Writes a card for each container with problems, the most severe first.
pub(super) fn cards(page: &mut String, rows: &[&ContainerRow]) {
    let sick = rows.iter().filter(|row| !row.problems.is_empty()).take(CARDS_MAX);
    let mut sick = sick.peekable();
    if sick.peek().is_none() {
        return;
    }
    page.push_str("<section class=cards aria-label=\"Containers that need attention\">\n");
    for row in sick {
        card(page, row);
    }
    page.push_str("</section>\n");
}

fn card(page: &mut String, row: &ContainerRow) {
    let status = status::status(row);
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        "<article><h2>{}</h2><p class={}>{}</p>",
        Escaped(name(&row.identity)),
        status.class,
        Escaped(&status.words)
    );
    for problem in &row.problems {
        let evidence = evidence(row, problem);
        if !evidence.is_empty() {
            let _ = write!(page, "<p>{evidence}</p>");
        }
        let _ = write!(page, "<p>{}</p>", remedy(row, problem));
    }
    page.push_str("</article>\n");
}

/// Figures that show a problem. Contains no text from containers.
fn evidence(row: &ContainerRow, problem: &Problem) -> String {
    match problem {
        Problem::StuckInDriver { .. } => {
            let calls = row.nvidia_driver.as_ref().map_or(0, |driver| driver.in_flight);
            let held = super::gpu_memory_bytes(row)
                .map(|bytes| format!(" It holds {} of GPU memory.", gibibytes(bytes)));
            format!("Driver calls in flight: {calls}.{}", held.unwrap_or_default())
        }
        Problem::Stuck { .. } => {
            let requests = row.requests.as_ref().map(|requests| requests.in_flight);
            requests.map(|count| format!("Requests in flight: {count}.")).unwrap_or_default()
        }
        Problem::OomKilled { .. } => {
            let used =
                row.cgroup.memory.working_set_bytes.map(|bytes| format!("Memory: {}", gibibytes(bytes)));
            let limit = row.cgroup.limits.finite_memory_bytes();
            let limit = limit.map(|bytes| format!(" of {}", gibibytes(bytes)));
            used.map(|used| used + &limit.unwrap_or_default() + ".").unwrap_or_default()
        }
        Problem::Throttled { .. } => {
            let limits = &row.cgroup.limits;
            let cores = limits.cpu_quota_us.zip(limits.cpu_period_us).filter(|(_, period_us)| *period_us > 0);
            cores
                .map(|(quota_us, period_us)| {
                    format!("Quota: {:.2} cores.", quota_us as f64 / period_us as f64)
                })
                .unwrap_or_default()
        }
        Problem::Unhealthy | Problem::CrashLooping { .. } => String::new(),
    }
}

/// What to do. Contains no text from containers except IDs that need no quotes.
fn remedy(row: &ContainerRow, problem: &Problem) -> String {
    let command = |arguments| command(&row.identity, arguments);
    match problem {
        Problem::StuckInDriver { .. } | Problem::Stuck { reason: StuckReason::NvidiaDriver, .. } => {
            "Look for NVRM messages in the kernel log (<code>dmesg</code>). Restart the container; if it cannot be killed, reset \
             the GPU or reboot the host."
                .into()
        }
        Problem::Stuck { reason, .. } => format!("{}{}", advice(*reason), command("logs --tail 50")),
        Problem::Unhealthy => format!("Read the output of its health check.{}", command("inspect")),
        Problem::OomKilled { .. } => {
            "Raise the memory limit, or let it do less at once: fewer threads, a smaller batch or resolution.".into()
        }
        Problem::CrashLooping { .. } => format!("Read the end of its log.{}", command("logs --tail 50")),
        Problem::Throttled { .. } => "Raise the CPU quota, or let it run fewer threads.".into(),
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
    let id = identity.id.get(..super::SHORT_ID).unwrap_or(&identity.id);
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return String::new();
    }
    format!(" <code>{program} {arguments} {id}</code>")
}
