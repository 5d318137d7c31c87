//! `cargo xtask vm --real-driver`: the agent against NVIDIA's real kernel modules, without a GPU.
//!
//! Debian's packages of the driver are downloaded, built for a guest's kernel and cached below `target/xtask`; nothing
//! is installed. In the guest a fake PCI device (`tests/real-driver`) makes the real driver register a GPU that it
//! cannot initialize. Programs send requests to the driver under a recorder (`tests/ioctl-recorder`), and the tests
//! (`tests/tests/real_driver.rs`) compare the agent's metrics with the record.
//!
//! By default only the open kernel modules (MIT or GPL-2, Debian's `contrib`) are used. `--non-free` adds the
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
use crate::step;
use build::Modules;
use packages::{BRANCHES, Branch, Flavour};

/// The kernel of the guests: Debian 12's, for which both branches of the driver build.
const SERIES: &str = "6.1";

/// The fake GPU's registers are in memory that the kernel leaves alone.
const MACHINE: Machine = Machine { memory_mib: 2500, append: "memmap=32M$0x70000000" };

/// A branch in one of its flavours: one guest.
#[derive(Clone, Copy, Debug)]
struct Variant {
    branch: &'static Branch,
    flavour: Flavour,
}

impl Variant {
    /// Names files and folders: `535-open`.
    fn name(self) -> String {
        format!("{}-{}", self.branch.name, self.flavour.name())
    }

    /// What its row is called.
    fn layer(self) -> String {
        format!("driver {} {}", self.branch.name, self.flavour.name())
    }
}

/// Why a guest cannot be made.
enum Unavailable {
    /// The mirror does not have the packages: a skip.
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
        Err(error) => return vec![Planned::Row(Row::broken("driver", Duration::ZERO, &error))],
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

/// Downloads and builds what the guests need, all but our own programs. Says what cannot be had; the rest is done.
pub(super) fn prepare(arguments: &Arguments) -> anyhow::Result<()> {
    let kernel = kernels::fetch(SERIES)?;
    let mut result = Ok(());
    for variant in variants(arguments)? {
        match driver(variant, &kernel, arguments) {
            Ok(_) => {}
            Err(Unavailable::Packages(reason)) => step::note(&reason),
            Err(Unavailable::Error(error)) => result = result.and(Err(error)),
        }
    }
    result
}

/// The branches asked for, each in the flavours asked for. Guests with NVIDIA's programs take longest and go first.
fn variants(arguments: &Arguments) -> anyhow::Result<Vec<Variant>> {
    let known = || BRANCHES.iter().map(|branch| branch.name).collect::<Vec<_>>().join(" and ");
    for name in &arguments.drivers {
        anyhow::ensure!(
            BRANCHES.iter().any(|branch| branch.name == name),
            "--driver {name}: the branches that Debian packages are {}",
            known()
        );
    }
    let is_requested = |branch: &&Branch| {
        arguments.drivers.is_empty() || arguments.drivers.iter().any(|name| name == branch.name)
    };
    let flavours: &[Flavour] =
        if arguments.non_free { &[Flavour::Proprietary, Flavour::Open] } else { &[Flavour::Open] };
    let branches: Vec<_> = BRANCHES.iter().filter(is_requested).collect();
    let of = |&flavour: &Flavour| branches.iter().map(move |&branch| Variant { branch, flavour });
    Ok(flavours.iter().flat_map(of).collect())
}

/// What a guest has of the driver.
struct Driver {
    modules: Modules,
    /// NVIDIA's programs and libraries, by their paths in the guest.
    user_space: Option<Vec<(&'static str, PathBuf)>>,
}

/// Builds what a guest has of the driver, unless that was done before.
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

/// Builds all that a guest needs.
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
    fn only_the_open_flavour_is_used_unless_asked_for_the_other() {
        assert_eq!(names(&[], false).unwrap(), ["535-open", "550-open"]);
        let both = ["535-proprietary", "550-proprietary", "535-open", "550-open"];
        assert_eq!(names(&[], true).unwrap(), both);
        assert_eq!(names(&["550"], false).unwrap(), ["550-open"]);
    }

    #[test]
    fn a_branch_that_debian_does_not_package_is_refused_with_those_it_does() {
        let error = names(&["570"], false).unwrap_err().to_string();
        assert!(error.contains("570") && error.contains("535 and 550"), "{error}");
    }
}
