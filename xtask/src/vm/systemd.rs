//! `cargo xtask vm --systemd` tests the unit and the package under the systemd of Debian 12.
//!
//! The guest has the kernel and the programs of Debian 12, with systemd as process 1. Its root file system is unpacked from
//! Debian's packages once, and the agent, the tests (`tests/tests/systemd.rs`) and the unit that runs them are added to it.

mod content;
mod root;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Arguments;
use super::boot::{Machine, QEMU};
use super::guests::{Bootable, Planned};
use super::kernels::{self, Kernel};
use crate::report::Row;
use crate::toolchain;

pub(crate) const KIND: &str = "systemd";
/// The kernel of Debian 12.
const SERIES: &str = "6.1";
/// systemd is started from the initramfs, and starts the tests after the units of a normal boot.
const MACHINE: Machine = Machine {
    memory_mib: 1024,
    // systemd and the tests wait for up to 140 s.
    silence: Duration::from_secs(300),
    append: "rdinit=/usr/lib/systemd/systemd systemd.unit=glassbox-tests.target systemd.show_status=no",
};

/// The guest, or a row with the reason if there is none.
pub(super) fn planned(arguments: &Arguments) -> Planned {
    let started = Instant::now();
    let kernel = match kernels::fetch(SERIES) {
        Ok(kernel) => kernel,
        Err(error) => return Planned::Row(Row::skipped(KIND, format!("{error:#}"))),
    };
    match plan(&kernel, arguments) {
        Ok(Some(guest)) => Planned::Guest(guest),
        Ok(None) => {
            let reason = format!("no mirror has Debian's {}", root::SUITE);
            Planned::Row(Row::skipped(KIND, reason))
        }
        Err(error) => Planned::Row(Row::broken(KIND, started.elapsed(), &error)),
    }
}

fn plan(kernel: &Kernel, arguments: &Arguments) -> anyhow::Result<Option<Bootable>> {
    toolchain::in_path(QEMU)
        .with_context(|| format!("find {QEMU} in PATH; run: cargo xtask setup --tests"))?;
    let Some(root) = root::fetch()? else { return Ok(None) };
    let initramfs = content::pack(Path::new(&root))?;
    Ok(Some(Bootable {
        name: KIND.to_owned(),
        layer: KIND.to_owned(),
        note: format!("systemd of Debian's {} on Linux {}", root::SUITE, kernel.release),
        kernel: kernel.clone(),
        initramfs,
        machine: MACHINE,
        tests: arguments.filters.join(","),
    }))
}
