//! Loads of the driver's modules: which were in use before their calls were traced. Those are counted as
//! `glassbox_lost_events_total{source="nvidia_attach"}`. Costs a few reads of sysfs for each load.

use glassbox_ebpf::{Lost, nvidia_driver::device};

use super::{SPEC, modules::Module, monotonic_ns};
use crate::kernel::{Kernel, module};

/// The driver's module, without which there is no driver, and those that have functions of their own.
pub(super) const MODULES: [&str; 3] = ["nvidia", "nvidia_uvm", "nvidia_modeset"];
pub(super) const DRIVER: usize = 0;
pub(super) const UVM: usize = 1;

/// Which load of each of [`MODULES`] there is; `None` if it is not loaded.
pub(super) type Generations = [Option<u64>; MODULES.len()];

/// The latest load of each module that is not traced yet.
#[derive(Debug, Default)]
pub(super) struct Loads {
    untraced: [Option<Load>; MODULES.len()],
    /// Loads before this time are accounted for, in ns of CLOCK_MONOTONIC: a look can be ahead of the reports.
    accounted_until_ns: [u64; MODULES.len()],
}

#[derive(Clone, Copy, Debug)]
struct Load {
    /// When, in ns of CLOCK_MONOTONIC.
    at_ns: u64,
    /// It was in use before the programs had the layouts of its release.
    is_undecoded: bool,
}

impl Load {
    fn at(at_ns: u64) -> Self {
        Self { at_ns, is_undecoded: false }
    }
}

impl Loads {
    /// The kernel reported a load or an unload.
    pub(super) fn reported(&mut self, event: &Module) {
        let Some(index) = MODULES.iter().position(|module| *module == event.name) else { return };
        if event.at_ns >= self.accounted_until_ns[index] {
            self.untraced[index] = event.loaded.then(|| Load::at(event.at_ns));
        }
    }

    /// The modules were looked at. Notes loads that were not reported. What was called before the agent's first look is not
    /// lost.
    pub(super) fn seen(&mut self, before: &Generations, now: &Generations, is_first: bool) {
        if is_first {
            *self = Self { accounted_until_ns: [monotonic_ns(); MODULES.len()], ..Self::default() };
            return;
        }
        for (load, (before, now)) in self.untraced.iter_mut().zip(before.iter().zip(now)) {
            if now.is_none() {
                *load = None;
            } else if now != before && load.is_none() {
                *load = Some(Load::at(monotonic_ns()));
            }
        }
    }

    /// From now on the programs have the layouts of the release.
    pub(super) fn decodable(&mut self) {
        for (load, module) in self.untraced.iter_mut().zip(MODULES) {
            if let Some(load) = load {
                load.is_undecoded = is_in_use(module);
            }
        }
    }

    /// Counts the modules that were in use before their calls were traced or could be decoded. `has` says whether the
    /// devices of a kind are known, by which tracepoints recognize calls.
    pub(super) fn account(&mut self, kernel: &mut Kernel, has: impl Fn(u32) -> bool) {
        let on_functions = kernel
            .outcomes()
            .iter()
            .any(|outcome| outcome.probe == SPEC.name && !outcome.functions.is_empty());
        for (index, (load, module)) in self.untraced.iter_mut().zip(MODULES).enumerate() {
            let is_traced = match index {
                _ if on_functions => true,
                DRIVER => has(device::CTL),
                UVM => has(device::UVM),
                _ => true,
            };
            let Some(Load { at_ns, is_undecoded }) = load.take_if(|_| is_traced) else { continue };
            self.accounted_until_ns[index] = monotonic_ns();
            let is_missed = !kernel.attached_in_advance(module) && is_in_use(module);
            if !is_missed && !is_undecoded {
                continue;
            }
            kernel.count_lost(Lost::NvidiaAttach);
            let late_ms = monotonic_ns().saturating_sub(at_ns) / 1_000_000;
            let harm = if is_missed { "missing" } else { "counted without their command and status" };
            tracing::warn!(
                "{module} was in use before its calls were traced, at most {late_ms} ms after it was loaded: some of \
                 its first calls are {harm}"
            );
        }
    }
}

/// True if a process has a device of the module open.
fn is_in_use(module: &str) -> bool {
    module::open_files(module).unwrap_or_default() > 0
}
