//! Load and unload events of the NVIDIA driver's modules, so that the agent attaches and detaches immediately.
//!
//! Hooks: tp_btf `module_load`, which fires when the module's functions can already be hooked and its init function has
//! not run yet, and `module_free`. Both run only when a module is loaded or unloaded on the host.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_str_bytes},
    macros::{btf_tracepoint, map},
    maps::RingBuf,
    programs::BtfTracePointContext,
};
use glassbox_ebpf::nvidia_driver::{MODULES_BYTES, ModuleEvent};

use crate::{frozen::offset, read::kernel};

/// The first 16 bytes of a module's name as two words, and a mask of the bytes to compare, including the NUL.
struct Name([u64; 2], [u64; 2]);

const NAMES: [Name; 3] = [name(b"nvidia"), name(b"nvidia_uvm"), name(b"nvidia_modeset")];

const fn name(text: &[u8]) -> Name {
    let (mut words, mut masks, mut at) = ([0u64; 2], [0u64; 2], 0);
    while at <= text.len() {
        let byte = if at < text.len() { text[at] } else { 0 };
        words[at / 8] |= (byte as u64) << (at % 8 * 8);
        masks[at / 8] |= 0xFF << (at % 8 * 8);
        at += 1;
    }
    Name(words, masks)
}

#[map]
static NVIDIA_MODULES: RingBuf = RingBuf::with_byte_size(MODULES_BYTES, 0);

#[btf_tracepoint(function = "module_load")]
fn nvidia_driver_module_load(ctx: BtfTracePointContext) -> i32 {
    report(ctx.arg(0), 1);
    0
}

#[btf_tracepoint(function = "module_free")]
fn nvidia_driver_module_free(ctx: BtfTracePointContext) -> i32 {
    report(ctx.arg(0), 0);
    0
}

#[inline(always)]
fn report(module: *const u8, loaded: u64) -> Option<()> {
    let name = module as u64 + u64::from(offset!(module_name));
    let [first, second]: [u64; 2] = kernel(name, 0)?;
    let is = |Name(words, masks): &Name| first & masks[0] == words[0] && second & masks[1] == words[1];
    let [driver, uvm, modeset] = const { &NAMES };
    if !is(driver) && !is(uvm) && !is(modeset) {
        return None;
    }
    // If the ring buffer is full, user space detects the load at its next periodic check and counts missed calls then.
    let mut entry = NVIDIA_MODULES.reserve::<ModuleEvent>(0)?;
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole `ModuleEvent`, and all members are written before it is submitted (`name` up
    // to its NUL, by a helper that checks the address).
    unsafe {
        (&raw mut (*record).at_ns).write(bpf_ktime_get_ns());
        (&raw mut (*record).loaded).write(loaded);
        (&raw mut (*record).name[0]).write(0);
        let _ = bpf_probe_read_kernel_str_bytes(name as *const u8, &mut (*record).name);
    }
    entry.submit(0);
    Some(())
}
