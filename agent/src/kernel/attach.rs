//! Attaches the programs of a probe by the first attach method that works.
//!
//! The attach methods of a probe's attach plan are tried in order. A method works if this kernel has all fields that it
//! needs and if all its required programs load and attach. Each optional program of that method then attaches or fails
//! independently; one that hooks a function of a module that is not loaded yet waits for the module. `glassbox check`
//! and `glassbox_probe_attached` report the result.

use std::fmt::Write as _;

use anyhow::Context as _;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, RawTracePoint, TracePoint},
};
use glassbox_ebpf::offsets::Offsets;

use super::{
    functions::{AttachState, FunctionGroup},
    offsets::absent,
    program::{Hook, Program, loaded},
    record::Record,
    refusal::{explain, explain_perf_event},
    tracefs::Tracefs,
};

/// One way to attach the programs of a probe.
#[derive(Debug)]
pub struct AttachMethod {
    /// Name of the method: its hooks.
    pub name: &'static str,
    /// Required programs. The method works only if all of them attach.
    pub programs: &'static [Program],
    /// Optional programs.
    pub extras: &'static [Extra],
    /// Fields of [`Offsets`] that must be present, in addition to those that lead from a task to its cgroup.
    pub needs: &'static [&'static [&'static str]],
    /// What this method misses and a preferred method measures; empty if nothing.
    pub misses: &'static str,
}

/// Optional programs that are attached together.
#[derive(Debug)]
pub struct Extra {
    /// The programs. Reports use the name of the first one for all.
    pub programs: &'static [Program],
    /// Fields of [`Offsets`] that must be present, in addition to those of the method.
    pub needs: &'static [&'static str],
}

impl Extra {
    fn name(&self) -> &'static str {
        self.programs.first().map_or("", |program| program.name)
    }
}

/// The attach methods of a probe, in order of preference.
pub struct AttachPlan {
    /// The probe.
    pub probe: &'static str,
    /// The collector that the programs serve.
    pub collector: &'static str,
    /// The attach methods.
    pub methods: Vec<&'static AttachMethod>,
    /// False if the plan is not tried when the agent starts, because what the programs watch may not exist yet.
    pub at_start: bool,
    /// The setting that excludes some methods.
    pub forced: Option<&'static str>,
}

/// The result of an attach plan: the method in use, and which of its programs are attached.
#[derive(Debug)]
pub struct Outcome {
    /// The probe.
    pub probe: &'static str,
    /// The collector that the programs serve.
    pub collector: &'static str,
    /// The first method of the plan.
    pub best: Option<&'static AttachMethod>,
    /// The method in use, if any.
    pub method: Option<&'static AttachMethod>,
    /// The preferred methods that do not work, by name, each with the reason.
    pub refused: Vec<(&'static str, String)>,
    /// Optional programs that are not attached, by name, each with the reason.
    pub without: Vec<(&'static str, String)>,
    /// Optional programs that will be attached when a module is loaded, by name, each with the module.
    pub waiting: Vec<(&'static str, &'static str)>,
    /// Programs on functions. The method's required programs come first.
    pub functions: Vec<FunctionGroup>,
    /// Why the method's programs cannot run now although their hooks exist.
    idle: Option<String>,
    forced: Option<&'static str>,
}

impl Outcome {
    fn of(plan: &AttachPlan) -> Self {
        Self {
            probe: plan.probe,
            collector: plan.collector,
            best: plan.methods.first().copied(),
            method: None,
            refused: Vec::new(),
            without: Vec::new(),
            waiting: Vec::new(),
            functions: Vec::new(),
            idle: None,
            forced: plan.forced,
        }
    }

    /// The method in use.
    ///
    /// # Errors
    /// If no method works. The message has the reasons.
    pub fn held(&self) -> anyhow::Result<&'static AttachMethod> {
        if let Some(reason) = &self.idle {
            anyhow::bail!("{reason}");
        }
        self.method.with_context(|| self.reasons())
    }

    /// True if the program belongs to the method in use and is attached.
    #[must_use]
    pub fn has(&self, program: &str) -> bool {
        let is_of = |method: &AttachMethod| {
            let extras = method.extras.iter().map(Extra::name);
            method.programs.iter().map(|other| other.name).chain(extras).any(|other| other == program)
        };
        self.idle.is_none()
            && self.method.is_some_and(is_of)
            && self.without.iter().all(|(other, _)| *other != program)
            && self.waiting.iter().all(|(other, _)| *other != program)
    }

    /// The reasons why no method works, in one line.
    #[must_use]
    pub fn reasons(&self) -> String {
        let mut line = format!("no supported attach point for {} on this kernel", self.probe);
        for (method, reason) in &self.refused {
            let _ = write!(line, "; {method}: {reason}");
        }
        if let Some(setting) = self.forced {
            let _ = write!(line, "; {setting} excludes other methods, which \"auto\" permits");
        }
        line
    }

    /// True if the method's programs hook functions of modules.
    pub(super) fn is_on_functions(&self) -> bool {
        !self.functions.is_empty()
    }

    /// Attaches programs to the modules that are loaded now. Programs that are attached stay attached.
    ///
    /// # Errors
    /// If the functions that the method requires do not exist.
    pub(super) fn update(&mut self, ebpf: &mut Ebpf, offsets: &Offsets) -> anyhow::Result<()> {
        let _tracefs = Tracefs::mounted();
        let Some(required) = self.functions.first_mut() else { return Ok(()) };
        let module = required.module();
        let state = required.update(ebpf);
        if let Some(method) = self.method {
            self.attach_extras(method, ebpf, None, offsets);
        }
        self.idle = match state? {
            AttachState::Attached => None,
            AttachState::Waiting => Some(format!("the module {module} is not loaded")),
        };
        Ok(())
    }

    /// Attaches the optional programs of a method.
    fn attach_extras(
        &mut self,
        method: &'static AttachMethod,
        ebpf: &mut Ebpf,
        btf: Option<&Btf>,
        offsets: &Offsets,
    ) {
        self.without.clear();
        self.waiting.clear();
        for extra in method.extras {
            let missing = absent(offsets, extra.needs);
            if !missing.is_empty() {
                self.without.push((extra.name(), format!("this kernel has no {}", missing.join(", "))));
                continue;
            }
            let attached = match self.group(extra.programs) {
                Some(group) => group.update(ebpf).map(|state| (state, group.module())),
                None => attach_all(extra.programs, ebpf, btf).map(|()| (AttachState::Attached, "")),
            };
            match attached {
                Ok((AttachState::Attached, _)) => {}
                Ok((AttachState::Waiting, module)) => self.waiting.push((extra.name(), module)),
                Err(error) => self.without.push((extra.name(), format!("{error:#}"))),
            }
        }
    }

    /// The group of these programs, created if there is none yet; `None` if the programs do not hook functions.
    fn group(&mut self, programs: &'static [Program]) -> Option<&mut FunctionGroup> {
        let known = self.functions.iter().position(|group| group.is_of(programs));
        let index = match known {
            Some(index) => index,
            None => {
                self.functions.push(FunctionGroup::of(programs)?);
                self.functions.len() - 1
            }
        };
        self.functions.get_mut(index)
    }

    /// Detaches everything.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) {
        self.functions.drain(..).for_each(|mut group| group.release(ebpf));
        if let Some(method) = self.method.take() {
            let extras = method.extras.iter().flat_map(|extra| extra.programs);
            method.programs.iter().chain(extras).for_each(|program| detach_one(program, ebpf));
        }
    }
}

/// The fields that lead from a task to its cgroup. They depend on the containers' hierarchy.
fn cgroup_fields(hierarchy_id: u32) -> [&'static str; 4] {
    match hierarchy_id {
        0 => ["task_cgroups", "css_set_dfl_cgrp", "cgroup_kn", "kernfs_node_id"],
        _ => ["task_sched_task_group", "task_group_cgroup", "cgroup_kn", "kernfs_node_id"],
    }
}

/// Tries the methods of a plan in order and attaches the first one that works.
pub fn attach_first(
    plan: &AttachPlan,
    ebpf: &mut Ebpf,
    btf: Option<&Btf>,
    offsets: &Offsets,
    hierarchy_id: u32,
) -> Outcome {
    let mut outcome = Outcome::of(plan);
    for &method in &plan.methods {
        let mut missing = absent(offsets, &cgroup_fields(hierarchy_id));
        missing.extend(method.needs.iter().flat_map(|fields| absent(offsets, fields)));
        if !missing.is_empty() {
            outcome.refused.push((method.name, format!("this kernel has no {}", missing.join(", "))));
            continue;
        }
        let in_tracefs =
            |program: &Program| !matches!(program.hook, Hook::BtfTracepoint(_) | Hook::RawTracepoint(_));
        let _tracefs = method.programs.iter().any(in_tracefs).then(Tracefs::mounted);
        match attach(method, ebpf, btf) {
            Ok(functions) => {
                outcome.method = Some(method);
                outcome.functions.extend(functions);
                outcome.attach_extras(method, ebpf, btf, offsets);
                // A refused method that hooks functions of other names would measure the same, so it is not reported.
                outcome.refused.retain(|(refused, _)| !is_alike(refused, method, &plan.methods));
                return outcome;
            }
            Err(error) => outcome.refused.push((method.name, format!("{error:#}"))),
        }
    }
    outcome
}

/// True if the method of this name measures the same as `method`: both hook functions.
fn is_alike(name: &str, method: &AttachMethod, methods: &[&'static AttachMethod]) -> bool {
    let on_functions =
        |method: &AttachMethod| matches!(method.programs, [Program { hook: Hook::Function(..), .. }, ..]);
    methods.iter().any(|other| other.name == name && on_functions(other) && on_functions(method))
}

/// Attaches all required programs of a method, or none of them.
fn attach(
    method: &'static AttachMethod,
    ebpf: &mut Ebpf,
    btf: Option<&Btf>,
) -> anyhow::Result<Option<FunctionGroup>> {
    let Some(mut group) = FunctionGroup::of(method.programs) else {
        return attach_all(method.programs, ebpf, btf).map(|()| None);
    };
    match group.update(ebpf)? {
        AttachState::Attached => Ok(Some(group)),
        AttachState::Waiting => anyhow::bail!("the module {} is not loaded", group.module()),
    }
}

/// Attaches all of these programs, which do not hook functions, or none of them.
fn attach_all(programs: &'static [Program], ebpf: &mut Ebpf, btf: Option<&Btf>) -> anyhow::Result<()> {
    for program in programs {
        if let Err(error) = attach_one(program, ebpf, btf) {
            programs.iter().for_each(|program| detach_one(program, ebpf));
            return Err(error);
        }
    }
    Ok(())
}

fn attach_one(program: &Program, ebpf: &mut Ebpf, btf: Option<&Btf>) -> anyhow::Result<()> {
    let what = || format!("attach {} to {}", program.name, program.hook);
    let load = |result| loaded(program.name, result);
    let handle = ebpf
        .program_mut(program.name)
        .with_context(|| format!("the object has no program {}", program.name))?;
    match program.hook {
        Hook::BtfTracepoint(name) => {
            let handle: &mut BtfTracePoint = handle.try_into().with_context(what)?;
            load(handle.load(name, btf.context("the kernel's type information is no longer loaded")?))?;
            handle.attach().map_err(explain).with_context(what)?;
        }
        Hook::RawTracepoint(name) => {
            let handle: &mut RawTracePoint = handle.try_into().with_context(what)?;
            load(handle.load())?;
            handle.attach(name).map_err(explain).with_context(what)?;
        }
        Hook::Record(category, name, fields) => {
            let record = Record::read(category, name).with_context(what)?;
            fields.iter().try_for_each(|field| record.word(field).map(drop)).with_context(what)?;
            let handle: &mut TracePoint = handle.try_into().with_context(what)?;
            load(handle.load())?;
            handle.attach(category, name).map_err(explain_perf_event).with_context(what)?;
        }
        Hook::Tracepoint(category, name) => {
            let handle: &mut TracePoint = handle.try_into().with_context(what)?;
            load(handle.load())?;
            handle.attach(category, name).map_err(explain_perf_event).with_context(what)?;
        }
        Hook::Function(..) => anyhow::bail!("{}: the group hooks functions of several modules", what()),
    }
    Ok(())
}

fn detach_one(program: &Program, ebpf: &mut Ebpf) {
    // Unloading fails if the program was never loaded; there is nothing to detach then.
    let _ = match ebpf.program_mut(program.name) {
        Some(aya::programs::Program::BtfTracePoint(handle)) => handle.unload(),
        Some(aya::programs::Program::RawTracePoint(handle)) => handle.unload(),
        Some(aya::programs::Program::TracePoint(handle)) => handle.unload(),
        Some(aya::programs::Program::KProbe(handle)) => handle.unload(),
        _ => Ok(()),
    };
}
