//! `[kernel]`: the kernel programs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When the kernel measures the run time of programs. The measurement costs some tens of ns per run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramStats {
    /// One second in thirty.
    Sampled,
    /// Always.
    Always,
    /// Only if the administrator has set `kernel.bpf_stats_enabled`.
    Never,
}

/// Which attach method the scheduler programs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerHook {
    /// The first method that this kernel supports.
    Auto,
    /// Only the single-hook program, which reads `sched_info`.
    Switch,
    /// Only the programs on wakeup and switch.
    Wakeup,
}

/// `[kernel]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kernel {
    /// Whether kernel programs are loaded.
    pub enabled: bool,
    /// Path of the kernel's BTF.
    pub btf: PathBuf,
    /// When the run time of programs is measured.
    pub program_stats: ProgramStats,
    /// Which attach method the scheduler programs use.
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
