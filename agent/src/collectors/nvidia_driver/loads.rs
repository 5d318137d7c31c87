//! Detects modules of the driver that were in use before their calls were traced, and counts them as
//! `glassbox_lost_events_total{source="nvidia_attach"}`. Costs a few reads of sysfs per load.

use glassbox_ebpf::{Lost, nvidia_driver::device};

use super::{SPEC, modules::Module};
use crate::kernel::{Kernel, host, module};

/// The driver's main module, which has to be loaded for a driver to be present, and the modules with functions of their
/// own.
pub(super) const MODULES: [&str; 3] = ["nvidia", "nvidia_uvm", "nvidia_modeset"];
pub(super) const DRIVER: usize = 0;
pub(super) const UVM: usize = 1;

/// The load generation of each of [`MODULES`]; `None` if the module is not loaded.
pub(super) type Generations = [Option<u64>; MODULES.len()];

/// The latest load of each module that is not traced yet.
#[derive(Debug, Default)]
pub(super) struct Loads {
    untraced: [Option<Load>; MODULES.len()],
    /// Loads before this time, in ns of CLOCK_MONOTONIC, are accounted for: sysfs may show a load before the kernel
    /// programs report it.
    accounted_until_ns: [u64; MODULES.len()],
}

#[derive(Clone, Copy, Debug)]
struct Load {
    /// The time of the load, in ns of CLOCK_MONOTONIC.
    at_ns: u64,
    /// True if the module was in use before the programs had the layouts of its release.
    is_undecoded: bool,
}

impl Load {
    fn at(at_ns: u64) -> Self {
        Self { at_ns, is_undecoded: false }
    }
}

impl Loads {
    /// Handles a load or an unload that the kernel reported.
    pub(super) fn reported(&mut self, event: &Module) {
        let Some(index) = MODULES.iter().position(|module| *module == event.name) else { return };
        if event.at_ns >= self.accounted_until_ns[index] {
            self.untraced[index] = event.loaded.then(|| Load::at(event.at_ns));
        }
    }

    /// Records loads that were not reported, by comparing the modules before and now. Calls before the agent's first
    /// check do not count as lost.
    pub(super) fn seen(&mut self, before: &Generations, now: &Generations, is_first: bool) {
        if is_first {
            *self = Self { accounted_until_ns: [host::monotonic_ns(); MODULES.len()], ..Self::default() };
            return;
        }
        for (load, (before, now)) in self.untraced.iter_mut().zip(before.iter().zip(now)) {
            if now.is_none() {
                *load = None;
            } else if now != before && load.is_none() {
                *load = Some(Load::at(host::monotonic_ns()));
            }
        }
    }

    /// Records that the programs have the layouts of the release from now on.
    pub(super) fn decodable(&mut self) {
        for (load, module) in self.untraced.iter_mut().zip(MODULES) {
            if let Some(load) = load {
                load.is_undecoded = is_in_use(module);
            }
        }
    }

    /// Counts the modules that were in use before their calls were traced or could be decoded. `has` returns whether
    /// the devices of a kind are known; tracepoints need them to recognize calls.
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
            self.accounted_until_ns[index] = host::monotonic_ns();
            let is_missed = !kernel.attached_in_advance(module) && is_in_use(module);
            if !is_missed && !is_undecoded {
                continue;
            }
            kernel.count_lost(Lost::NvidiaAttach);
            let late_ms = host::monotonic_ns().saturating_sub(at_ns) / 1_000_000;
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
