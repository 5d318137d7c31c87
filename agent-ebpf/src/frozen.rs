//! The globals that user space sets and freezes before load. Read one word at a time and volatile: the verifier then
//! tracks each as a constant, and no copy of a structure goes through the stack.

use aya_ebpf::Global;
use glassbox_ebpf::{Settings, offsets::Offsets};

#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<Offsets> = Global::new(Offsets::UNRESOLVED);

#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Global<Settings> = Global::new(Settings::UNSET);

/// The offset of a kernel field, `ABSENT` where this kernel has none.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a plain load of a u32 inside a static that nobody writes while programs run.
        unsafe {
            (&raw const (*(&raw const $crate::frozen::OFFSETS).cast::<glassbox_ebpf::offsets::Offsets>())
                .$field)
                .read_volatile()
        }
    };
}

/// One of the run's constants.
macro_rules! setting {
    ($field:ident) => {
        // SAFETY: a plain load of a u32 inside a static that nobody writes while programs run.
        unsafe {
            (&raw const (*(&raw const $crate::frozen::SETTINGS).cast::<glassbox_ebpf::Settings>()).$field)
                .read_volatile()
        }
    };
}

pub(crate) use {offset, setting};
