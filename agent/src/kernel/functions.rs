//! Programs on functions of a kernel module that may be loaded and unloaded at any time.
//!
//! The programs of a [`FunctionGroup`] are attached together or not at all, independently of other groups. If the
//! module is not loaded, the hooks are created in advance ([`FunctionHook`]), so that no call after the load is missed.
//! If tracefs does not allow that, [`FunctionGroup::update`] attaches the programs once the module is loaded.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{KProbe, ProbeKind, kprobe::KProbeLinkId},
};

use super::{
    function_hook::{self, FunctionHook},
    module,
    refusal::explain_perf_event,
};
use crate::kernel::program::{Hook, Program, loaded};

/// Programs on functions of one module that are attached together.
#[derive(Debug)]
pub struct FunctionGroup {
    programs: &'static [Program],
    module: &'static str,
    /// The load of the module that the programs are attached to, see [`module::generation`].
    generation: Option<u64>,
    /// One element per program, or empty.
    held: Vec<Held>,
    in_advance: bool,
}

/// Keeps a program attached.
#[derive(Debug)]
enum Held {
    Event(#[expect(dead_code, reason = "its drop detaches the program")] FunctionHook),
    /// The program's name and its link. The link is dead after the module was unloaded.
    Link(&'static str, KProbeLinkId),
}

/// Whether a group's programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachState {
    /// The programs are attached.
    Attached,
    /// The programs will be attached when the module is loaded.
    Waiting,
}

impl FunctionGroup {
    /// A group of programs, not attached yet; `None` unless all of them hook functions of the same module.
    pub(super) fn of(programs: &'static [Program]) -> Option<Self> {
        let module_of = |program: &Program| match program.hook {
            Hook::Function(module, _) => Some(module),
            _ => None,
        };
        let module = module_of(programs.first()?)?;
        let whole = programs.iter().all(|program| module_of(program) == Some(module));
        whole.then_some(Self { programs, module, generation: None, held: Vec::new(), in_advance: false })
    }

    /// True if the group consists of these programs.
    pub(super) fn is_of(&self, programs: &'static [Program]) -> bool {
        std::ptr::eq(self.programs, programs)
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> &'static str {
        self.module
    }

    /// True if the programs are attached and their hooks existed before the module was loaded, so that no call was
    /// missed.
    #[must_use]
    pub fn attached_in_advance(&self) -> bool {
        self.generation.is_some() && self.in_advance
    }

    /// Number of hooks that are events in tracefs.
    #[must_use]
    pub fn events(&self) -> usize {
        self.held.iter().filter(|held| matches!(held, Held::Event(_))).count()
    }

    /// Attaches the programs to the module as it is loaded now, if they are not attached yet. If nothing has changed,
    /// this costs one stat in sysfs.
    ///
    /// # Errors
    /// If the module is loaded and a program cannot be attached. No program is attached then.
    pub(super) fn update(&mut self, ebpf: &mut Ebpf) -> anyhow::Result<AttachState> {
        let generation = module::generation(self.module);
        if generation.is_none() {
            self.wait(ebpf);
            return Ok(AttachState::Waiting);
        }
        if generation != self.generation {
            self.generation = None;
            self.in_advance = self.were_made_in_advance();
            if !self.in_advance {
                self.release(ebpf);
                self.held = self.attach(ebpf, hold)?;
            }
            self.generation = generation;
        }
        Ok(AttachState::Attached)
    }

    /// Detaches the programs.
    pub(super) fn release(&mut self, ebpf: &mut Ebpf) {
        for held in self.held.drain(..) {
            if let Held::Link(program, link) = held
                && let Some(program) = ebpf.program_mut(program)
                && let Ok(program) = <&mut KProbe>::try_from(program)
            {
                // An error means that the link no longer exists.
                let _ = program.detach(link);
            }
        }
    }

    /// Hooks the functions in advance, unless this was already done.
    fn wait(&mut self, ebpf: &mut Ebpf) {
        self.generation = None;
        let links = self.held.iter().any(|held| matches!(held, Held::Link(..)));
        if !links && !self.held.is_empty() {
            return;
        }
        self.release(ebpf);
        match self.attach(ebpf, event) {
            Ok(held) => self.held = held,
            Err(error) => tracing::debug!(
                "cannot hook functions of module {} before it is loaded, so its first calls may be missed: {error:#}",
                self.module
            ),
        }
    }

    /// True if the hooks were created before the module was loaded and the module has all their functions.
    fn were_made_in_advance(&self) -> bool {
        let is_event = |held: &Held| matches!(held, Held::Event(_));
        let exists = |program: &Program| match program.hook {
            Hook::Function(module, function) => function_hook::exists(module, function),
            _ => false,
        };
        !self.held.is_empty() && self.held.iter().all(is_event) && self.programs.iter().all(exists)
    }

    fn attach(
        &self,
        ebpf: &mut Ebpf,
        hold: fn(&Program, &mut Ebpf) -> anyhow::Result<Held>,
    ) -> anyhow::Result<Vec<Held>> {
        let mut half = Self { held: Vec::new(), ..*self };
        for program in self.programs {
            match hold(program, ebpf) {
                Ok(held) => half.held.push(held),
                Err(error) => {
                    half.release(ebpf);
                    return Err(error.context(format!("attach {} to {}", program.name, program.hook)));
                }
            }
        }
        Ok(half.held)
    }
}

fn kprobe<'a>(
    program: &Program,
    ebpf: &'a mut Ebpf,
) -> anyhow::Result<(&'static str, &'static str, &'a mut KProbe)> {
    let Hook::Function(module, function) = program.hook else {
        anyhow::bail!("{} is not a function", program.hook);
    };
    let handle = ebpf
        .program_mut(program.name)
        .with_context(|| format!("the object has no program {}", program.name))?;
    let handle: &mut KProbe = handle.try_into()?;
    loaded(program.name, handle.load())?;
    Ok((module, function, handle))
}

/// Attaches a program by an event in tracefs.
fn event(program: &Program, ebpf: &mut Ebpf) -> anyhow::Result<Held> {
    let (module, function, handle) = kprobe(program, ebpf)?;
    let kind = handle.kind();
    let hook = FunctionHook::attach(kind, module, function, handle.fd()?.as_fd())?;
    Ok(Held::Event(hook))
}

/// Attaches a program by an event in tracefs, or by a perf event if tracefs refuses.
fn hold(program: &Program, ebpf: &mut Ebpf) -> anyhow::Result<Held> {
    let refused = match event(program, ebpf) {
        Ok(held) => return Ok(held),
        Err(refused) => refused,
    };
    let (_, function, handle) = kprobe(program, ebpf)?;
    let link = handle.attach(function, 0).map_err(explain_perf_event)?;
    match handle.kind() {
        ProbeKind::Return => tracing::warn!(
            "{function}: some concurrent calls will be missed because the kretprobe limit could not be raised: \
             {refused:#}"
        ),
        ProbeKind::Entry => {
            tracing::debug!("{function} is hooked by a perf event, because tracefs refused: {refused:#}");
        }
    }
    Ok(Held::Link(program.name, link))
}
