//! `cargo xtask vm --real-driver` tests the agent with NVIDIA's real kernel modules, without a GPU.
//!
//! Debian's driver packages are downloaded, built for a guest's kernel and cached below `target/xtask`; nothing is
//! installed. In the guest, a fake PCI device (`tests/real-driver`) makes the real driver register a GPU that it
//! cannot initialize. A preloaded library (`tests/ioctl-recorder`) records the requests of test programs to the driver,
//! and the tests (`tests/tests/real_driver.rs`) compare the agent's metrics with the record.
//!
//! By default, only the open kernel modules (MIT or GPL-2, Debian's `contrib`) are used. `--non-free` adds the
//! proprietary modules and NVIDIA's own programs.

mod build;
mod conftest;
mod content;
mod packages;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Arguments;
use super::boot::Machine;
use super::guests::{Bootable, Planned};
use super::headers::Headers;
use super::kernels::{self, Kernel};
use crate::report::Row;
use build::Modules;
use packages::{BRANCHES, Branch, Flavour};

/// The first word of their rows.
pub(crate) const KIND: &str = "driver";
/// The kernel of the guests: Debian 12's, because both driver branches build for it.
const SERIES: &str = "6.1";

/// The fake GPU's registers are in memory that `memmap` excludes from the kernel's use.
const MACHINE: Machine = Machine { memory_mib: 2500, append: "memmap=32M$0x70000000", ..Machine::DEFAULT };

/// A driver branch and flavour: one guest.
#[derive(Clone, Copy, Debug)]
struct Variant {
    branch: &'static Branch,
    flavour: Flavour,
}

impl Variant {
    /// Name of files and directories, such as `535-open`.
    fn name(self) -> String {
        format!("{}-{}", self.branch.name, self.flavour.name())
    }

    /// Name of the row.
    fn layer(self) -> String {
        format!("{KIND} {} {}", self.branch.name, self.flavour.name())
    }
}

/// Reason why a guest cannot be prepared.
enum Unavailable {
    /// The mirror does not have the packages. Reported as a skip.
    Packages(String),
    Error(anyhow::Error),
}

impl From<anyhow::Error> for Unavailable {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(error)
    }
}

/// One guest for each branch and flavour.
pub(super) fn planned(arguments: &Arguments) -> Vec<Planned> {
    let started = Instant::now();
    let variants = match variants(arguments) {
        Ok(variants) => variants,
        Err(error) => return vec![Planned::Row(Row::broken(KIND, Duration::ZERO, &error))],
    };
    let kernel = match kernels::fetch(SERIES) {
        Ok(kernel) => kernel,
        Err(error) => {
            let reason = format!("{error:#}");
            let skipped = |one: &Variant| Planned::Row(Row::skipped(&one.layer(), reason.clone()));
            return variants.iter().map(skipped).collect();
        }
    };
    let programs = content::build_programs();
    variants
        .iter()
        .map(|&variant| {
            let programs = programs.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            plan(variant, &kernel, programs, arguments)
        })
        .zip(&variants)
        .map(|(guest, variant)| match guest {
            Ok(guest) => Planned::Guest(guest),
            Err(Unavailable::Packages(reason)) => Planned::Row(Row::skipped(&variant.layer(), reason)),
            Err(Unavailable::Error(error)) => {
                Planned::Row(Row::broken(&variant.layer(), started.elapsed(), &error))
            }
        })
        .collect()
}

/// The requested branches in the requested flavours. Guests with NVIDIA's programs take longest, so they come first.
fn variants(arguments: &Arguments) -> anyhow::Result<Vec<Variant>> {
    let known = || BRANCHES.iter().map(|branch| branch.name).collect::<Vec<_>>().join(" and ");
    for name in &arguments.drivers {
        anyhow::ensure!(
            BRANCHES.iter().any(|branch| branch.name == name),
            "--driver {name}: Debian packages only the branches {}",
            known()
        );
    }
    let is_requested = |branch: &&Branch| {
        arguments.drivers.is_empty() || arguments.drivers.iter().any(|name| name == branch.name)
    };
    let flavours: &[Flavour] =
        if arguments.non_free { &[Flavour::Proprietary, Flavour::Open] } else { &[Flavour::Open] };
    let branches: Vec<_> = BRANCHES.iter().filter(is_requested).collect();
    if arguments.short {
        // Each branch and each flavour once.
        let of = |(&branch, &flavour)| Variant { branch, flavour };
        return Ok(branches.iter().zip(flavours.iter().cycle()).map(of).collect());
    }
    let of = |&flavour: &Flavour| branches.iter().map(move |&branch| Variant { branch, flavour });
    Ok(flavours.iter().flat_map(of).collect())
}

/// The driver files of a guest.
struct Driver {
    modules: Modules,
    /// NVIDIA's programs and libraries with their paths in the guest.
    user_space: Option<Vec<(&'static str, PathBuf)>>,
}

/// Builds the driver for a guest, unless it is cached.
fn driver(variant: Variant, kernel: &Kernel, arguments: &Arguments) -> Result<Driver, Unavailable> {
    let Some(headers) = Headers::of(kernel)? else {
        return Err(Unavailable::Packages(format!(
            "no suite has the headers of Linux {} any more",
            kernel.release
        )));
    };
    let Some(modules) = Modules::of(variant, kernel, &headers)? else {
        let (package, component) = (variant.flavour.package(), variant.flavour.component());
        return Err(Unavailable::Packages(format!(
            "the mirror has no {package} {} in Debian's {} {component}",
            variant.branch.name, variant.branch.suite
        )));
    };
    let user_space = if arguments.non_free { packages::user_space(variant.branch)? } else { None };
    Ok(Driver { modules, user_space })
}

/// Builds and packs all files of a guest.
fn plan(
    variant: Variant,
    kernel: &Kernel,
    programs: &content::Programs,
    arguments: &Arguments,
) -> Result<Bootable, Unavailable> {
    let Driver { modules, user_space } = driver(variant, kernel, arguments)?;
    let note = format!(
        "NVIDIA {} on Linux {}{}",
        modules.version,
        kernel.release,
        if user_space.is_some() { "" } else { ", without libcuda and nvidia-smi" }
    );
    let initramfs = programs.pack(&variant.name(), &modules, user_space.as_deref())?;
    Ok(Bootable {
        name: format!("driver-{}", variant.name()),
        layer: variant.layer(),
        kernel: kernel.clone(),
        initramfs,
        machine: MACHINE,
        tests: arguments.filters.join(","),
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(drivers: &[&str], non_free: bool) -> anyhow::Result<Vec<String>> {
        let drivers = drivers.iter().map(|&name| name.to_owned()).collect();
        let arguments = Arguments { real_driver: true, non_free, drivers, ..Arguments::default() };
        Ok(variants(&arguments)?.into_iter().map(Variant::name).collect())
    }

    #[test]
    fn the_proprietary_flavour_is_used_only_with_non_free() {
        assert_eq!(names(&[], false).unwrap(), ["535-open", "550-open"]);
        let both = ["535-proprietary", "550-proprietary", "535-open", "550-open"];
        assert_eq!(names(&[], true).unwrap(), both);
        assert_eq!(names(&["550"], false).unwrap(), ["550-open"]);
    }

    #[test]
    fn a_short_run_has_each_branch_and_each_flavour_once() {
        let names = |non_free| -> Vec<String> {
            let arguments = Arguments { real_driver: true, short: true, non_free, ..Arguments::default() };
            variants(&arguments).unwrap().into_iter().map(Variant::name).collect()
        };
        assert_eq!(names(true), ["535-proprietary", "550-open"]);
        assert_eq!(names(false), ["535-open", "550-open"]);
    }

    #[test]
    fn an_unknown_branch_is_rejected_with_a_list_of_the_known_ones() {
        let error = names(&["570"], false).unwrap_err().to_string();
        assert!(error.contains("570") && error.contains("535 and 550"), "{error}");
    }
}
