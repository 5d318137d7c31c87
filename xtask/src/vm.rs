//! `cargo xtask vm`: the kernel tests on other kernels than this host's, each in a small virtual machine.
//!
//! A guest is a Debian kernel and an initramfs with our init, the test binary, busybox, a stand-in for the NVIDIA
//! driver and an application for it, and the kernel's own modules for disks in memory: no disk, no network. It is
//! emulated (QEMU's TCG) even where KVM is at hand: KVM inside a virtual machine often is, and then dies. A guest boots in
//! about three seconds and keeps one CPU busy, so two run at a time; the kernels are downloaded once.

mod boot;
mod content;
mod cpio;
mod filesystems;
mod guests;
mod headers;
mod initramfs;
mod kernels;
mod module;
mod parallel;
mod real_driver;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::report::{self, Row};
use boot::Machine;
use guests::{Bootable, Planned};
use kernels::Kernel;

/// The kernels that every change is tested on: the oldest supported, and those of the two Debians in use.
pub(crate) const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

/// The tests of one guest. Two halves of about the same length, so that guests fill the CPUs evenly and a failure in one
/// does not cost the time of all.
struct Part {
    /// Ends the name of its row.
    name: &'static str,
    /// Arguments of the test binary, separated by commas.
    tests: String,
}

impl Part {
    /// The parts of all tests; if the user chooses the tests, one guest runs them.
    fn of(filters: &[String]) -> Vec<Self> {
        let part = |name, tests: &str| Self { name, tests: tests.to_owned() };
        match filters {
            [] => vec![part(" containers", "--skip,nvidia_driver"), part(" driver", "nvidia_driver")],
            chosen => vec![part("", &chosen.join(","))],
        }
    }
}

/// Run the kernel tests in virtual machines, on several kernels.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Kernel series, such as 6.1; may be given several times [default: 5.10, 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "SERIES")]
    pub(crate) kernels: Vec<String>,
    /// Test against Debian's real NVIDIA driver and a fake GPU instead of the stand-in
    #[arg(long, conflicts_with_all = ["kernels"])]
    pub(crate) real_driver: bool,
    /// With --real-driver: also download and test NVIDIA's non-free parts, the proprietary kernel modules, libcuda,
    /// libnvidia-ml and nvidia-smi
    #[arg(long, requires = "real_driver")]
    pub(crate) non_free: bool,
    /// With --real-driver: the driver's branch, 535 or 550; may be given several times [default: both]
    #[arg(long = "driver", value_name = "BRANCH", requires = "real_driver")]
    pub(crate) drivers: Vec<String>,
    /// With --real-driver: only download and build the driver's modules, once, and boot no guest
    #[arg(long, requires = "real_driver")]
    pub(crate) prepare: bool,
    /// Keep the initramfs, and print how to boot it by hand
    #[arg(long)]
    pub(crate) keep: bool,
    /// Only the tests whose names contain one of these
    #[arg(last = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    report::print(&rows(arguments))
}

/// Only downloads and builds the real driver.
pub(crate) fn prepare(arguments: &Arguments) -> anyhow::Result<()> {
    real_driver::prepare(arguments)
}

/// Runs the tests in the guests that are asked for; one row each.
fn rows(arguments: &Arguments) -> Vec<Row> {
    guests::run(planned(arguments), arguments.keep)
}

/// The same for the guests of several kinds, of which two run at a time as long as there are two.
pub(crate) fn rows_of(kinds: &[Arguments]) -> Vec<Row> {
    guests::run(kinds.iter().flat_map(planned).collect(), false)
}

fn planned(arguments: &Arguments) -> Vec<Planned> {
    if arguments.real_driver {
        return real_driver::planned(arguments);
    }
    let usual = KERNELS.map(str::to_owned);
    let all = if arguments.kernels.is_empty() { &usual[..] } else { &arguments.kernels };
    let started = Instant::now();
    let guests: Vec<_> = all.iter().map(|series| Guest::find(series)).collect();
    let modules: Vec<_> = guests.iter().flatten().flat_map(Guest::modules).collect();
    match content::prepare(&modules) {
        Ok(initramfs) => {
            let parts = Part::of(&arguments.filters);
            all.iter()
                .zip(guests)
                .flat_map(|(series, guest)| plan(series, guest, &parts, &initramfs, arguments))
                .collect()
        }
        Err(error) => {
            let broken =
                |series: &String| Planned::Row(Row::broken(&layer(series), started.elapsed(), &error));
            all.iter().map(broken).collect()
        }
    }
}

/// What a guest boots with.
struct Guest {
    kernel: Kernel,
    /// The stand-in for the NVIDIA driver; `None` where the kernel's headers are not to be had.
    module: anyhow::Result<Option<Vec<(String, PathBuf)>>>,
    /// Modules for tests of disks, with the names of their files.
    filesystems: Vec<(String, PathBuf)>,
}

impl Guest {
    fn find(series: &str) -> anyhow::Result<Self> {
        let kernel = kernels::fetch(series)?;
        let module = module::build(&kernel);
        let filesystems = filesystems::find(&kernel)?;
        Ok(Self { kernel, module, filesystems })
    }

    /// Its modules, by their paths in the guests.
    fn modules(&self) -> Vec<(String, PathBuf)> {
        let name = self.kernel.name();
        let stand_in = self.module.iter().flatten().flatten();
        let stand_in = stand_in.map(|(file, path)| (format!("modules/{name}/{file}"), path.clone()));
        let filesystems = self.filesystems.iter();
        let filesystems =
            filesystems.map(|(file, path)| (format!("filesystems/{name}/{file}"), path.clone()));
        stand_in.chain(filesystems).collect()
    }
}

/// The guests of a kernel, or the row that says why there is none.
fn plan(
    series: &str,
    guest: anyhow::Result<Guest>,
    parts: &[Part],
    initramfs: &Path,
    arguments: &Arguments,
) -> Vec<Planned> {
    let (kernel, module, filesystems) = match guest {
        Ok(Guest { kernel, module, filesystems }) => (kernel, module, filesystems),
        // Whoever names a kernel wants that one; the usual ones depend on what mirrors still have.
        Err(error) if arguments.kernels.is_empty() => {
            return vec![Planned::Row(Row::skipped(&layer(series), format!("{error:#}")))];
        }
        Err(error) => return vec![Planned::Row(Row::broken(&layer(series), Duration::ZERO, &error))],
    };
    let without = match module {
        Ok(Some(_)) => "",
        Ok(None) => ", without the NVIDIA stand-in: its headers are not to be had",
        Err(error) => return vec![Planned::Row(Row::broken(&layer(series), Duration::ZERO, &error))],
    };
    let and_without = if filesystems.is_empty() { ", without modules for tests of disks" } else { "" };
    let guest = |part: &Part| {
        Planned::Guest(Bootable {
            name: format!("{series}{}", part.name).replace(' ', "-"),
            layer: layer(series) + part.name,
            note: format!("Linux {}{without}{and_without}", kernel.release),
            kernel: kernel.clone(),
            initramfs: initramfs.to_owned(),
            machine: Machine::USUAL,
            tests: part.tests.clone(),
        })
    };
    parts.iter().map(guest).collect()
}

/// What the row of a kernel is called.
fn layer(series: &str) -> String {
    format!("vm {series}")
}
