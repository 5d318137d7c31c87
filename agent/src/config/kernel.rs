//! `[kernel]`: the kernel programs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When the kernel measures the run time of programs, which itself costs some tens of ns per run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramStats {
    /// One second in thirty.
    Sampled,
    /// All the time.
    Always,
    /// Only while the administrator has set `kernel.bpf_stats_enabled`.
    Never,
}

/// Which scheduler programs to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerHook {
    /// The first that this kernel takes.
    Auto,
    /// Only the single-hook program that reads `sched_info`.
    Switch,
    /// Only the wakeup + switch programs.
    Wakeup,
}

/// `[kernel]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kernel {
    /// Whether kernel programs are loaded at all.
    pub enabled: bool,
    /// Where the kernel's type information is.
    pub btf: PathBuf,
    /// When program run times are measured.
    pub program_stats: ProgramStats,
    /// Which scheduler programs to use.
    pub scheduler_hook: SchedulerHook,
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            enabled: true,
            btf: "/sys/kernel/btf/vmlinux".into(),
            program_stats: ProgramStats::Sampled,
            scheduler_hook: SchedulerHook::Auto,
        }
    }
}
