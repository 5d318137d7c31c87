//! Climbing ladders of hooks. For each noun the rungs are tried in order; the first whose fields this kernel has and whose
//! programs all load and attach is used, with those of its extras that attach, too. `glassbox check` and
//! `glassbox_probe_attached` say which.

use std::fmt::Write as _;

use anyhow::Context as _;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, KProbe, ProbeKind, ProgramError, TracePoint},
};
use glassbox_ebpf::offsets::Offsets;

use super::{offsets::absent, record::Record, returns::ReturnHook, tracefs::Tracefs};

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
    /// A tracepoint by category and name, whose record is no ABI and must have these fields, each a 32-bit word. As long
    /// as it is attached, the module that the tracepoint is in cannot be unloaded.
    Record(&'static str, &'static str, &'static [&'static str]),
    /// A function, at its entry or its return as the program says.
    Function(&'static str),
}

impl std::fmt::Display for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BtfTracepoint(name) | Self::Function(name) => formatter.write_str(name),
            Self::Tracepoint(category, name) | Self::Record(category, name, _) => {
                write!(formatter, "{category}:{name}")
            }
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
    /// Programs that it can do without.
    pub extras: &'static [Extra],
    /// Fields of [`Offsets`] that must be present, beside those that lead from a task to its cgroup.
    pub needs: &'static [&'static [&'static str]],
}

/// A program that is attached where that can be.
#[derive(Debug)]
pub struct Extra {
    /// The program.
    pub program: Program,
    /// Fields of [`Offsets`] that must be present, beside those of the rung.
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
    /// Extras of the rung that are not attached, by the program's name, and why.
    pub without: Vec<(&'static str, String)>,
    /// Hooks of the rung that must live as long as it holds.
    pub returns: Vec<ReturnHook>,
}

impl Outcome {
    /// True where the rung holds, the program is one of its own, and it is attached.
    #[must_use]
    pub fn has(&self, program: &str) -> bool {
        let is_of = |rung: &Rung| {
            let extras = rung.extras.iter().map(|extra| &extra.program);
            rung.programs.iter().chain(extras).any(|other| other.name == program)
        };
        self.rung.is_some_and(is_of) && self.without.iter().all(|(other, _)| *other != program)
    }

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

/// Fields without which a task's cgroup is not known, by the hierarchy that holds the containers.
fn cgroup_fields(hierarchy_id: u32) -> [&'static str; 4] {
    match hierarchy_id {
        0 => ["task_cgroups", "css_set_dfl_cgrp", "cgroup_kn", "kernfs_node_id"],
        _ => ["task_sched_task_group", "task_group_cgroup", "cgroup_kn", "kernfs_node_id"],
    }
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
        let mut missing = absent(offsets, &cgroup_fields(hierarchy_id));
        missing.extend(rung.needs.iter().flat_map(|fields| absent(offsets, fields)));
        if !missing.is_empty() {
            refused.push((rung.name, format!("this kernel has no {}", missing.join(", "))));
            continue;
        }
        let in_tracefs = |program: &Program| !matches!(program.hook, Hook::BtfTracepoint(_));
        let _tracefs = rung.programs.iter().any(in_tracefs).then(Tracefs::mounted);
        match attach(rung, ebpf, btf) {
            Ok(returns) => {
                let without = attach_extras(rung, ebpf, btf, offsets);
                return Outcome { noun: ladder.noun, best, rung: Some(rung), refused, without, returns };
            }
            Err(error) => refused.push((rung.name, format!("{error:#}"))),
        }
    }
    Outcome { noun: ladder.noun, best, rung: None, refused, without: Vec::new(), returns: Vec::new() }
}

/// Attaches what a rung can do without; what was not attached, and why.
fn attach_extras(
    rung: &Rung,
    ebpf: &mut Ebpf,
    btf: Option<&Btf>,
    offsets: &Offsets,
) -> Vec<(&'static str, String)> {
    let mut without = Vec::new();
    for Extra { program, needs } in rung.extras {
        let missing = absent(offsets, needs);
        if !missing.is_empty() {
            without.push((program.name, format!("this kernel has no {}", missing.join(", "))));
        } else if let Err(error) = attach_one(program, ebpf, btf) {
            detach_one(program, ebpf);
            without.push((program.name, format!("{error:#}")));
        }
    }
    without
}

fn attach(rung: &Rung, ebpf: &mut Ebpf, btf: Option<&Btf>) -> anyhow::Result<Vec<ReturnHook>> {
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
        Hook::Record(category, name, fields) => {
            let record = Record::read(category, name).with_context(what)?;
            fields.iter().try_for_each(|field| record.word(field).map(drop)).with_context(what)?;
            let handle: &mut TracePoint = handle.try_into().with_context(what)?;
            load(handle.load())?;
            handle.attach(category, name).map_err(super::explain).with_context(what)?;
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
pub(super) fn shortened(error: ProgramError) -> anyhow::Error {
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
    let extras = rung.extras.iter().map(|extra| &extra.program);
    rung.programs.iter().chain(extras).for_each(|program| detach_one(program, ebpf));
}

fn detach_one(program: &Program, ebpf: &mut Ebpf) {
    // Nothing to do where it was never loaded.
    let _ = match ebpf.program_mut(program.name) {
        Some(aya::programs::Program::BtfTracePoint(handle)) => handle.unload(),
        Some(aya::programs::Program::TracePoint(handle)) => handle.unload(),
        Some(aya::programs::Program::KProbe(handle)) => handle.unload(),
        _ => Ok(()),
    };
}
