//! Ladders of hooks. For each noun the rungs are tried in order; the first whose fields this kernel has and whose
//! programs all load and attach is used. `glassbox check` and `glassbox_probe_attached` say which.

use std::fmt::Write as _;

use anyhow::Context as _;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, KProbe, ProbeKind, ProgramError, TracePoint},
};
use glassbox_ebpf::{offsets::Offsets, programs};

use super::{offsets::absent, returns::ReturnHook, tracefs::Tracefs};
use crate::config::SchedulerRung;

/// One program and where it goes.
#[derive(Debug)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// What it is attached to.
    pub hook: Hook,
}

/// A place in the kernel.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    /// A tracepoint, with typed arguments.
    BtfTracepoint(&'static str),
    /// A tracepoint by category and name, with its ABI's record.
    Tracepoint(&'static str, &'static str),
    /// A function, at its entry or its return as the program says.
    Function(&'static str),
}

impl std::fmt::Display for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BtfTracepoint(name) | Self::Function(name) => formatter.write_str(name),
            Self::Tracepoint(category, name) => write!(formatter, "{category}:{name}"),
        }
    }
}

/// One way to measure a noun.
#[derive(Debug)]
pub struct Rung {
    /// What distinguishes it, for people.
    pub name: &'static str,
    /// Programs that must all attach.
    pub programs: &'static [Program],
    /// Fields of [`Offsets`] that must be present, beside those that lead from a task to its cgroup.
    pub needs: &'static [&'static str],
}

/// The ways to measure a noun, best first.
pub struct Ladder {
    /// The noun.
    pub noun: &'static str,
    /// Its rungs.
    pub rungs: Vec<&'static Rung>,
    /// False where the agent's start attaches nothing yet: what the programs watch may not be there.
    pub at_start: bool,
}

/// How climbing a ladder ended.
#[derive(Debug)]
pub struct Outcome {
    /// The noun.
    pub noun: &'static str,
    /// The first rung of the ladder.
    pub best: Option<&'static Rung>,
    /// The rung that holds, if any.
    pub rung: Option<&'static Rung>,
    /// Why each better rung does not.
    pub refused: Vec<(&'static str, String)>,
    /// Hooks of the rung that must live as long as it holds.
    pub returns: Vec<ReturnHook>,
}

impl Outcome {
    /// All refusals in one line.
    #[must_use]
    pub fn reasons(&self) -> String {
        let mut line = format!("no hook for {} holds on this kernel", self.noun);
        for (rung, reason) in &self.refused {
            let _ = write!(line, "; {rung}: {reason}");
        }
        line
    }
}

/// Name of the scheduler's single-hook rung.
pub const SWITCH: &str = "tp_btf sched_switch";
/// Name of the scheduler's fallback rung.
pub const WAKEUP: &str = "tp_btf sched_wakeup + sched_switch";

/// Fields without which a task's cgroup is not known, by the hierarchy that holds the containers.
fn cgroup_fields(hierarchy_id: u32) -> [&'static str; 4] {
    match hierarchy_id {
        0 => ["task_cgroups", "css_set_dfl_cgrp", "cgroup_kn", "kernfs_node_id"],
        _ => ["task_sched_task_group", "task_group_cgroup", "cgroup_kn", "kernfs_node_id"],
    }
}

static SCHEDULER_SWITCH: Rung = Rung {
    name: SWITCH,
    programs: &[Program { name: programs::SCHEDULER_SWITCH, hook: Hook::BtfTracepoint("sched_switch") }],
    needs: &[
        "task_pid",
        "task_tgid",
        "task_state",
        "task_last_queued",
        "task_run_delay",
        "task_last_arrival",
        "task_cfs_rq",
        "cfs_rq_rq",
        "rq_clock",
    ],
};

static SCHEDULER_WAKEUP: Rung = Rung {
    name: WAKEUP,
    programs: &[
        Program { name: programs::SCHEDULER_FALLBACK_SWITCH, hook: Hook::BtfTracepoint("sched_switch") },
        Program { name: programs::SCHEDULER_FALLBACK_WAKEUP, hook: Hook::BtfTracepoint("sched_wakeup") },
        Program {
            name: programs::SCHEDULER_FALLBACK_WAKEUP_NEW,
            hook: Hook::BtfTracepoint("sched_wakeup_new"),
        },
    ],
    needs: &["task_pid", "task_tgid", "task_state"],
};

static CGROUP: Rung = Rung {
    name: "tp_btf cgroup_mkdir, cgroup_rmdir, cgroup_notify_populated",
    programs: &[
        Program { name: programs::CGROUP_MKDIR, hook: Hook::BtfTracepoint("cgroup_mkdir") },
        Program { name: programs::CGROUP_RMDIR, hook: Hook::BtfTracepoint("cgroup_rmdir") },
        Program { name: programs::CGROUP_EMPTIED, hook: Hook::BtfTracepoint("cgroup_notify_populated") },
    ],
    needs: &["cgroup_root", "cgroup_root_hierarchy_id", "cgroup_parent", "kernfs_node_name"],
};

/// What leads from a file to the device it stands for, and a process to its start.
const INODE_FIELDS: [&str; 8] = [
    "file_f_inode",
    "inode_i_mode",
    "inode_i_rdev",
    "inode_i_ino",
    "inode_i_sb",
    "super_block_s_dev",
    "task_group_leader",
    "task_start_time",
];

static NVIDIA_DRIVER_FUNCTIONS: Rung = Rung {
    name: "kprobe nvidia_unlocked_ioctl, uvm_unlocked_ioctl_entry",
    programs: &[
        Program { name: programs::NVIDIA_DRIVER_CALL, hook: Hook::Function("nvidia_unlocked_ioctl") },
        Program { name: programs::NVIDIA_DRIVER_RETURN, hook: Hook::Function("nvidia_unlocked_ioctl") },
        Program { name: programs::NVIDIA_DRIVER_CALL, hook: Hook::Function("uvm_unlocked_ioctl_entry") },
        Program { name: programs::NVIDIA_DRIVER_RETURN, hook: Hook::Function("uvm_unlocked_ioctl_entry") },
    ],
    needs: &INODE_FIELDS,
};

static NVIDIA_DRIVER_SYSCALLS: Rung = Rung {
    name: "tracepoint sys_enter_ioctl + sys_exit_ioctl",
    programs: &[
        Program { name: programs::NVIDIA_DRIVER_EXIT, hook: Hook::Tracepoint("syscalls", "sys_exit_ioctl") },
        Program {
            name: programs::NVIDIA_DRIVER_ENTER,
            hook: Hook::Tracepoint("syscalls", "sys_enter_ioctl"),
        },
    ],
    needs: &[
        "file_f_inode",
        "inode_i_mode",
        "inode_i_rdev",
        "inode_i_ino",
        "inode_i_sb",
        "super_block_s_dev",
        "task_group_leader",
        "task_start_time",
        "task_files",
        "files_struct_fdt",
        "fdtable_fd",
        "fdtable_max_fds",
    ],
};

/// Every ladder, in the order in which they are climbed: who a cgroup is, before what it does.
#[must_use]
pub fn ladders(scheduler: SchedulerRung) -> Vec<Ladder> {
    let scheduler_rungs = [&SCHEDULER_SWITCH, &SCHEDULER_WAKEUP];
    vec![
        Ladder { noun: "cgroup", rungs: vec![&CGROUP], at_start: true },
        Ladder {
            noun: "scheduler",
            rungs: scheduler_rungs.into_iter().filter(|rung| scheduler.allows(rung.name)).collect(),
            at_start: true,
        },
        Ladder {
            noun: "nvidia_driver",
            rungs: vec![&NVIDIA_DRIVER_FUNCTIONS, &NVIDIA_DRIVER_SYSCALLS],
            at_start: false,
        },
    ]
}

/// Tries the rungs in order.
pub fn climb(
    ladder: &Ladder,
    ebpf: &mut Ebpf,
    btf: Option<&Btf>,
    offsets: &Offsets,
    hierarchy_id: u32,
) -> Outcome {
    let (best, mut refused) = (ladder.rungs.first().copied(), Vec::new());
    for &rung in &ladder.rungs {
        let mut missing = absent(offsets, rung.needs);
        missing.extend(absent(offsets, &cgroup_fields(hierarchy_id)));
        if !missing.is_empty() {
            refused.push((rung.name, format!("this kernel has no {}", missing.join(", "))));
            continue;
        }
        match attach(rung, ebpf, btf) {
            Ok(returns) => {
                return Outcome { noun: ladder.noun, best, rung: Some(rung), refused, returns };
            }
            Err(error) => refused.push((rung.name, format!("{error:#}"))),
        }
    }
    Outcome { noun: ladder.noun, best, rung: None, refused, returns: Vec::new() }
}

fn attach(rung: &Rung, ebpf: &mut Ebpf, btf: Option<&Btf>) -> anyhow::Result<Vec<ReturnHook>> {
    let in_tracefs = |program: &Program| matches!(program.hook, Hook::Tracepoint(..) | Hook::Function(_));
    let _tracefs = rung.programs.iter().any(in_tracefs).then(Tracefs::mounted);
    let mut returns = Vec::new();
    for program in rung.programs {
        match attach_one(program, ebpf, btf) {
            Ok(hook) => returns.extend(hook),
            Err(error) => {
                detach(rung, ebpf);
                return Err(error);
            }
        }
    }
    Ok(returns)
}

fn attach_one(program: &Program, ebpf: &mut Ebpf, btf: Option<&Btf>) -> anyhow::Result<Option<ReturnHook>> {
    let what = || format!("attach {} to {}", program.name, program.hook);
    let load = |loaded: Result<(), ProgramError>| match loaded {
        // A program with several hooks is loaded once.
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(super::explain(shortened(error)).context(format!("load {}", program.name))),
    };
    let handle = ebpf
        .program_mut(program.name)
        .with_context(|| format!("the object has no program {}", program.name))?;
    match program.hook {
        Hook::BtfTracepoint(name) => {
            let handle: &mut BtfTracePoint = handle.try_into().with_context(what)?;
            load(handle.load(name, btf.context("the kernel's type information is no longer held")?))?;
            handle.attach().map_err(super::explain).with_context(what)?;
        }
        Hook::Tracepoint(category, name) => {
            let handle: &mut TracePoint = handle.try_into().with_context(what)?;
            load(handle.load())?;
            handle.attach(category, name).map_err(super::explain).with_context(what)?;
        }
        Hook::Function(name) => {
            let handle: &mut KProbe = handle.try_into().with_context(what)?;
            load(handle.load())?;
            if matches!(handle.kind(), ProbeKind::Return) {
                let program = handle.fd().with_context(what)?;
                match ReturnHook::attach(name, std::os::fd::AsFd::as_fd(program)) {
                    Ok(hook) => return Ok(Some(hook)),
                    Err(error) => tracing::warn!("of many calls of {name} at once some are lost: {error:#}"),
                }
            }
            handle.attach(name, 0).map_err(super::explain).with_context(what)?;
        }
    }
    Ok(None)
}

/// The verifier explains itself in thousands of lines, of which the last tell why; the rest goes to the debug log.
fn shortened(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            tracing::debug!("{log}");
            let statistics = ["processed ", "verification time", "stack depth"];
            let tells =
                |line: &&str| !statistics.iter().any(|start| line.starts_with(start)) && !line.is_empty();
            let last: Vec<_> = log.lines().filter(tells).collect();
            let last = last[last.len().saturating_sub(2)..].join(" / ");
            let error = anyhow::Error::new(io_error);
            if last.is_empty() { error } else { error.context(format!("the verifier says: {last}")) }
        }
        other => other.into(),
    }
}

/// Takes a rung's programs off their hooks: it holds whole or not at all.
pub(super) fn detach(rung: &Rung, ebpf: &mut Ebpf) {
    for program in rung.programs {
        // Nothing to do where it was never loaded.
        let _ = match ebpf.program_mut(program.name) {
            Some(aya::programs::Program::BtfTracePoint(handle)) => handle.unload(),
            Some(aya::programs::Program::TracePoint(handle)) => handle.unload(),
            Some(aya::programs::Program::KProbe(handle)) => handle.unload(),
            _ => Ok(()),
        };
    }
}
