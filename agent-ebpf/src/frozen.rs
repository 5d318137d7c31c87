//! The globals that user space sets and freezes before the programs are loaded. Each word is read by itself, with a
//! volatile read, so that the verifier tracks it as a constant and no structure is copied to the stack.

use aya_ebpf::Global;
use glassbox_ebpf::{Settings, container_programs::ProgramNames, offsets::Offsets};

#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<Offsets> = Global::new(Offsets::UNRESOLVED);

#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Global<Settings> = Global::new(Settings::UNSET);

#[unsafe(no_mangle)]
pub(crate) static PROGRAM_NAMES: Global<ProgramNames> = Global::new(ProgramNames::UNSET);

/// The offset of a kernel field; `ABSENT` if this kernel has no such field.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a plain load of a u32 inside a static that is not written while programs run.
        unsafe {
            (&raw const (*(&raw const $crate::frozen::OFFSETS).cast::<glassbox_ebpf::offsets::Offsets>())
                .$field)
                .read_volatile()
        }
    };
}

/// A field of [`Settings`].
macro_rules! setting {
    ($field:ident) => {
        // SAFETY: a plain load of a u32 inside a static that is not written while programs run.
        unsafe {
            (&raw const (*(&raw const $crate::frozen::SETTINGS).cast::<glassbox_ebpf::Settings>()).$field)
                .read_volatile()
        }
    };
}

pub(crate) use {offset, setting};
