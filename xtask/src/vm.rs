//! `cargo xtask vm` runs the kernel tests under other kernels, each in a small virtual machine.
//!
//! A guest has a Debian kernel and an initramfs with an init, the test binary, busybox, a fake NVIDIA driver with an
//! application that uses it, and the kernel's modules for in-memory disks. It has no disk and no network. Guests are always
//! emulated (QEMU's TCG): nested KVM is often available but unreliable. A guest boots in three seconds and uses one CPU, so
//! two guests run at a time. Kernels are downloaded once.

mod boot;
mod content;
mod cpio;
mod filesystems;
mod guests;
mod headers;
mod initramfs;
mod kernels;
mod module;
pub(crate) mod real_driver;
pub(crate) mod systemd;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::report::{self, Row};
use crate::results;
use boot::Machine;
use guests::{Bootable, Planned};
use kernels::Kernel;

/// The oldest supported kernel, and those of the current two Debian releases.
pub(crate) const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];
/// The first word of the rows of guests with these kernels.
pub(crate) const KIND: &str = "vm";
/// The kernels of a short run. The guests with systemd and with the real driver have 6.1, and hosts of developers have newer ones.
const SHORT: [&str; 1] = ["5.10"];

/// The tests of one guest. All tests are split into three parts, so that guests fill the CPUs evenly and a guest that hangs
/// repeats only some of them.
struct Part {
    /// Suffix of the row's name.
    name: &'static str,
    /// Comma-separated arguments of the test binary.
    tests: String,
}

impl Part {
    /// The parts of all tests. If the user has selected tests, one guest runs them.
    fn of(filters: &[String]) -> Vec<Self> {
        let part = |name, tests: &str| Self { name, tests: tests.to_owned() };
        match filters {
            [] => vec![
                part(" containers", "--skip,nvidia_driver,--skip,requests::,--skip,sockets::"),
                part(" traffic", "requests::,sockets::"),
                part(" driver", "nvidia_driver"),
            ],
            chosen => vec![part("", &chosen.join(","))],
        }
    }
}

/// Run the kernel tests in virtual machines with several kernels.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Kernel series such as 6.1; can be repeated [default: 5.10, 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "SERIES")]
    pub(crate) kernels: Vec<String>,
    /// Test with Debian's real NVIDIA driver and a fake GPU instead of the fake driver
    #[arg(long, group = "has_driver", conflicts_with_all = ["kernels"])]
    pub(crate) real_driver: bool,
    /// Test the systemd unit and the Debian package under Debian's systemd
    #[arg(long, conflicts_with_all = ["kernels"])]
    pub(crate) systemd: bool,
    /// Boot the guests of --real-driver and of --systemd, and those with several kernels
    #[arg(long, group = "has_driver", conflicts_with_all = ["kernels", "systemd"])]
    pub(crate) all: bool,
    /// With --real-driver: also download and test NVIDIA's non-free parts: the proprietary kernel modules, libcuda,
    /// libnvidia-ml and nvidia-smi
    #[arg(long, requires = "has_driver")]
    pub(crate) non_free: bool,
    /// With --real-driver: driver branch, 535 or 550; can be repeated [default: both]
    #[arg(long = "driver", value_name = "BRANCH", requires = "has_driver")]
    pub(crate) drivers: Vec<String>,
    /// Also write the results to this file, one JSON object per guest
    #[arg(long, value_name = "FILE")]
    pub(crate) results: Option<PathBuf>,
    /// Boot fewer guests, as `cargo xtask test` does: the oldest kernel; and with --real-driver --non-free, one flavour of
    /// each branch
    #[arg(long, conflicts_with_all = ["kernels", "drivers"])]
    pub(crate) short: bool,
    /// Keep the initramfs and print the command that boots it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Run only tests with one of these strings in their name
    #[arg(last = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let rows = rows(arguments);
    let written = arguments.results.as_ref().map_or(Ok(()), |file| results::write(&rows, file));
    let status = report::print(&rows);
    if let Err(error) = written {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    status
}

/// Runs the requested guests and returns a row for each.
pub(crate) fn rows(arguments: &Arguments) -> Vec<Row> {
    guests::run(planned(Kinds::of(arguments), arguments), arguments.keep)
}

/// Like [`rows`], but only for guests with a row that begins with one of these names.
pub(crate) fn rows_named(arguments: &Arguments, names: &[String]) -> Vec<Row> {
    let mut planned = planned(Kinds::named(names), arguments);
    planned.retain(|guest| names.iter().any(|name| guest.layer().starts_with(name)));
    guests::run(planned, false)
}

/// Kinds of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds {
    real_driver: bool,
    systemd: bool,
    kernels: bool,
}

impl Kinds {
    fn of(arguments: &Arguments) -> Self {
        let Arguments { real_driver, systemd, all, .. } = *arguments;
        Self {
            real_driver: real_driver || all,
            systemd: systemd || all,
            kernels: all || !(real_driver || systemd),
        }
    }

    /// The kinds of guests with these rows.
    fn named(names: &[String]) -> Self {
        let has = |kind: &str| names.iter().any(|name| name.split(' ').next() == Some(kind));
        Self { real_driver: has(real_driver::KIND), systemd: has(systemd::KIND), kernels: has(KIND) }
    }
}

fn planned(kinds: Kinds, arguments: &Arguments) -> Vec<Planned> {
    let mut planned = Vec::new();
    if kinds.real_driver {
        planned.extend(real_driver::planned(arguments));
    }
    if kinds.systemd {
        planned.push(systemd::planned(arguments));
    }
    if kinds.kernels {
        planned.extend(with_kernels(arguments));
    }
    planned
}

/// The guests with several kernels.
fn with_kernels(arguments: &Arguments) -> Vec<Planned> {
    let default = if arguments.short { &SHORT[..] } else { &KERNELS };
    let default: Vec<_> = default.iter().map(|&series| series.to_owned()).collect();
    let all = if arguments.kernels.is_empty() { &default } else { &arguments.kernels };
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

/// The inputs of a guest.
struct Guest {
    kernel: Kernel,
    /// The fake NVIDIA driver; `None` if the kernel's headers are not available.
    module: anyhow::Result<Option<Vec<(String, PathBuf)>>>,
    /// Modules for disk tests with their file names.
    filesystems: Vec<(String, PathBuf)>,
}

impl Guest {
    fn find(series: &str) -> anyhow::Result<Self> {
        let kernel = kernels::fetch(series)?;
        let module = module::build(&kernel);
        let filesystems = filesystems::find(&kernel)?;
        Ok(Self { kernel, module, filesystems })
    }

    /// All modules with their paths in the guests.
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

/// The guests of a kernel, or a row with the reason if there is none.
fn plan(
    series: &str,
    guest: anyhow::Result<Guest>,
    parts: &[Part],
    initramfs: &Path,
    arguments: &Arguments,
) -> Vec<Planned> {
    let (kernel, module, filesystems) = match guest {
        Ok(Guest { kernel, module, filesystems }) => (kernel, module, filesystems),
        // A missing default kernel is a skip, because mirrors remove old suites. A missing requested kernel is an error.
        Err(error) if arguments.kernels.is_empty() => {
            return vec![Planned::Row(Row::skipped(&layer(series), format!("{error:#}")))];
        }
        Err(error) => return vec![Planned::Row(Row::broken(&layer(series), Duration::ZERO, &error))],
    };
    let without = match module {
        Ok(Some(_)) => "",
        Ok(None) => ", without the fake NVIDIA driver: kernel headers not available",
        Err(error) => return vec![Planned::Row(Row::broken(&layer(series), Duration::ZERO, &error))],
    };
    let and_without = if filesystems.is_empty() { ", without modules for disk tests" } else { "" };
    let guest = |part: &Part| {
        Planned::Guest(Bootable {
            name: format!("{series}{}", part.name).replace(' ', "-"),
            layer: layer(series) + part.name,
            note: format!("Linux {}{without}{and_without}", kernel.release),
            kernel: kernel.clone(),
            initramfs: initramfs.to_owned(),
            machine: Machine::DEFAULT,
            tests: part.tests.clone(),
        })
    };
    parts.iter().map(guest).collect()
}

/// The row name of a kernel.
fn layer(series: &str) -> String {
    format!("{KIND} {series}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_all_guests_name_their_kinds() {
        let kinds =
            |names: &[&str]| Kinds::named(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let (none, all) = (kinds(&[]), Kinds::of(&Arguments { all: true, ..Arguments::default() }));
        assert_eq!(none, Kinds { real_driver: false, systemd: false, kernels: false });
        assert_eq!(kinds(&["systemd"]), Kinds { systemd: true, ..none });
        assert_eq!(kinds(&["vm 5.10 driver"]), Kinds { kernels: true, ..none });
        assert_eq!(kinds(&["driver 550 open", "systemd", "vm"]), all);
        assert_eq!(Kinds::of(&Arguments::default()), Kinds { kernels: true, ..none });
        assert_eq!(Kinds::of(&Arguments { systemd: true, ..Arguments::default() }), kinds(&["systemd"]));
    }
}
