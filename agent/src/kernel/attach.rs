//! Ladders of hooks. For each noun the rungs are tried in order; the first whose fields this kernel has and whose
//! programs all load and attach is used. `glassbox check` and `glassbox_probe_attached` say which.

use std::fmt::Write as _;

use anyhow::Context as _;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, ProgramError},
};
use glassbox_ebpf::{offsets::Offsets, programs};

use super::offsets::absent;
use crate::config::SchedulerRung;

/// One program and where it goes.
#[derive(Debug)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// The tracepoint.
    pub hook: &'static str,
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
    programs: &[Program { name: programs::SCHEDULER_SWITCH, hook: "sched_switch" }],
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
        Program { name: programs::SCHEDULER_FALLBACK_SWITCH, hook: "sched_switch" },
        Program { name: programs::SCHEDULER_FALLBACK_WAKEUP, hook: "sched_wakeup" },
        Program { name: programs::SCHEDULER_FALLBACK_WAKEUP_NEW, hook: "sched_wakeup_new" },
    ],
    needs: &["task_pid", "task_tgid", "task_state"],
};

static CGROUP: Rung = Rung {
    name: "tp_btf cgroup_mkdir, cgroup_rmdir, cgroup_notify_populated",
    programs: &[
        Program { name: programs::CGROUP_MKDIR, hook: "cgroup_mkdir" },
        Program { name: programs::CGROUP_RMDIR, hook: "cgroup_rmdir" },
        Program { name: programs::CGROUP_EMPTIED, hook: "cgroup_notify_populated" },
    ],
    needs: &["cgroup_root", "cgroup_root_hierarchy_id", "cgroup_parent", "kernfs_node_name"],
};

/// Every ladder, in the order in which they are climbed: who a cgroup is, before what it does.
#[must_use]
pub fn ladders(scheduler: SchedulerRung) -> Vec<Ladder> {
    let scheduler_rungs = [&SCHEDULER_SWITCH, &SCHEDULER_WAKEUP];
    vec![
        Ladder { noun: "cgroup", rungs: vec![&CGROUP] },
        Ladder {
            noun: "scheduler",
            rungs: scheduler_rungs.into_iter().filter(|rung| scheduler.allows(rung.name)).collect(),
        },
    ]
}

/// Tries the rungs in order.
pub fn climb(ladder: &Ladder, ebpf: &mut Ebpf, btf: &Btf, offsets: &Offsets, hierarchy_id: u32) -> Outcome {
    let (best, mut refused) = (ladder.rungs.first().copied(), Vec::new());
    for &rung in &ladder.rungs {
        let mut missing = absent(offsets, rung.needs);
        missing.extend(absent(offsets, &cgroup_fields(hierarchy_id)));
        if !missing.is_empty() {
            refused.push((rung.name, format!("this kernel has no {}", missing.join(", "))));
            continue;
        }
        match attach(rung, ebpf, btf) {
            Ok(()) => {
                return Outcome { noun: ladder.noun, best, rung: Some(rung), refused };
            }
            Err(error) => refused.push((rung.name, format!("{error:#}"))),
        }
    }
    Outcome { noun: ladder.noun, best, rung: None, refused }
}

fn attach(rung: &Rung, ebpf: &mut Ebpf, btf: &Btf) -> anyhow::Result<()> {
    for program in rung.programs {
        if let Err(error) = attach_one(program, ebpf, btf) {
            detach(rung, ebpf);
            return Err(error);
        }
    }
    Ok(())
}

fn attach_one(program: &Program, ebpf: &mut Ebpf, btf: &Btf) -> anyhow::Result<()> {
    let what = || format!("attach {} to {}", program.name, program.hook);
    let handle: &mut BtfTracePoint = ebpf
        .program_mut(program.name)
        .with_context(|| format!("the object has no program {}", program.name))?
        .try_into()
        .with_context(what)?;
    handle
        .load(program.hook, btf)
        .map_err(|error| super::explain(shortened(error)))
        .with_context(|| format!("load {}", program.name))?;
    handle.attach().map_err(super::explain).with_context(what)?;
    Ok(())
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

/// A rung holds whole or not at all.
fn detach(rung: &Rung, ebpf: &mut Ebpf) {
    for program in rung.programs {
        if let Some(aya::programs::Program::BtfTracePoint(handle)) = ebpf.program_mut(program.name) {
            // Nothing to do where it was never loaded.
            let _ = handle.unload();
        }
    }
}
