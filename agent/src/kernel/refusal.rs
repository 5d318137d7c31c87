//! Why the kernel refused a program or a hook, and the remedy.

use std::{io, path::Path};

use super::privileges::{self, Privileges};

const PROC: &str = "/proc";

/// Explains an error of bpf(2): adds the missing capabilities if the kernel refused because of them. Removes repeated causes,
/// because aya's errors repeat the text of their source.
pub(super) fn explain(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let privileges = || Privileges::of_this_process(Path::new(PROC));
    let reason = match os_error(&error) {
        Some(libc::EPERM) => Some(privileges().refusal()),
        // Without CAP_PERFMON, the verifier rejects the programs, for some helpers with EINVAL. With it, the verifier's
        // own message is the better reason.
        Some(libc::EACCES | libc::EINVAL) => privileges().lack(&[&privileges::BPF, &privileges::PERFMON]),
        _ => None,
    };
    with_reason(&error, reason)
}

/// Explains an error of perf_event_open(2), by which programs are attached to functions and to tracepoints with a record.
/// By default, Debian and Ubuntu set kernel.perf_event_paranoid to 3 or 4. Above 2, their kernels require CAP_SYS_ADMIN instead
/// of CAP_PERFMON.
pub(super) fn explain_perf_event(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    if os_error(&error) != Some(libc::EACCES) {
        return explain(error);
    }
    let privileges = Privileges::of_this_process(Path::new(PROC));
    let reason = privileges.lack(&[&privileges::BPF, &privileges::PERFMON]).or_else(|| {
        privileges.lack(&[&privileges::SYS_ADMIN]).and_then(|lack| paranoid(Path::new(PROC), &lack))
    });
    with_reason(&error, reason)
}

/// The remedy if perf events are restricted to CAP_SYS_ADMIN. `lack` says how to get that capability.
fn paranoid(proc_root: &Path, lack: &str) -> Option<String> {
    let level = std::fs::read_to_string(proc_root.join("sys/kernel/perf_event_paranoid")).ok()?;
    let level: i32 = level.trim().parse().ok()?;
    (level > 2).then(|| {
        format!(
            "kernel.perf_event_paranoid is {level}, and this kernel then requires CAP_SYS_ADMIN instead of CAP_PERFMON: set \
             it to 2 with sysctl and restart glassbox. Otherwise, {lack}"
        )
    })
}

/// The number of the first I/O error in the chain.
fn os_error(error: &anyhow::Error) -> Option<i32> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

/// The error without repeated causes, after the reason if there is one.
pub(super) fn with_reason(error: &anyhow::Error, reason: Option<String>) -> anyhow::Error {
    let error = without_repetition(error);
    match reason {
        Some(reason) => error.context(reason),
        None => error,
    }
}

/// The same chain, without causes that the text of the previous error already contains.
fn without_repetition(error: &anyhow::Error) -> anyhow::Error {
    let mut texts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    anyhow::Error::msg(texts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_part_of_the_error_text_is_not_repeated() {
        let io = io::Error::from_raw_os_error(libc::EPERM);
        let create = aya::maps::MapError::CreateError { name: "LOST".into(), io_error: io };
        let text = format!("{:#}", explain(aya::EbpfError::MapError(create)));
        assert_eq!(text.matches("failed to create map").count(), 1, "{text}");
        assert_eq!(text.matches("Operation not permitted").count(), 1, "{text}");
    }

    #[test]
    fn only_a_level_above_2_is_the_reason() {
        let proc = tempfile::tempdir().unwrap();
        let directory = proc.path().join("sys/kernel");
        let reason = || paranoid(proc.path(), "CAP_SYS_ADMIN is missing");
        assert_eq!(reason(), None);
        std::fs::create_dir_all(&directory).unwrap();
        for (level, is_reason) in
            [("-1\n", false), ("2\n", false), ("3\n", true), ("4\n", true), ("?", false)]
        {
            std::fs::write(directory.join("perf_event_paranoid"), level).unwrap();
            assert_eq!(reason().is_some(), is_reason, "{level}");
        }
    }
}
