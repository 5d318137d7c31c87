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
mod initramfs;
mod kernels;
mod module;
mod turns;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::failures::Failure;
use crate::report::{self, Row};
use crate::tally::Tally;
use boot::{Boot, Hung};
use kernels::Kernel;
use turns::Job;

/// The kernels that every change is tested on: the oldest supported, and those of the two Debians in use.
pub(crate) const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

/// Guests at a time, where there are as many CPUs.
const AT_ONCE: usize = 2;

/// Run the kernel tests in virtual machines, on several kernels.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Kernel series, such as 6.1; may be given several times [default: 5.10, 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "SERIES")]
    pub(crate) kernels: Vec<String>,
    /// Keep the initramfs, and say how to boot it by hand
    #[arg(long)]
    pub(crate) keep: bool,
    /// Only the tests whose names contain one of these
    #[arg(last = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    report::print(&rows(arguments))
}

/// Runs the tests in all guests; one row each.
pub(crate) fn rows(arguments: &Arguments) -> Vec<Row> {
    let usual = KERNELS.map(str::to_owned);
    let all = if arguments.kernels.is_empty() { &usual[..] } else { &arguments.kernels };
    let started = Instant::now();
    let guests: Vec<_> = all.iter().map(|series| Guest::find(series)).collect();
    let modules: Vec<_> = guests.iter().flatten().flat_map(Guest::modules).collect();
    match content::prepare(&arguments.filters, &modules) {
        Ok(initramfs) => {
            let rows = run(all, guests, &initramfs, arguments);
            if !arguments.keep {
                // A leftover costs disk space, nothing else.
                let _ = fs::remove_file(&initramfs);
            }
            rows
        }
        Err(error) => {
            let broken = |series: &String| Row::broken(&layer(series), started.elapsed(), &error).announce();
            all.iter().map(broken).collect()
        }
    }
}

/// What became of a guest at first.
enum First {
    Row(Row),
    /// It fell silent. Seen on a host with more to do than CPUs: an emulated CPU got no timer interrupt any more.
    Silent(Box<Silent>),
}

struct Silent {
    kernel: Kernel,
    note: String,
    took: Duration,
}

fn run(
    all: &[String],
    guests: Vec<anyhow::Result<Guest>>,
    initramfs: &Path,
    arguments: &Arguments,
) -> Vec<Row> {
    // From the last on: the newest kernel takes longest, and the others share the other CPU.
    let jobs = all.iter().zip(guests).rev().map(|(series, guest)| Job {
        name: series.clone(),
        work: Box::new(move |say: &dyn Fn(String)| first(series, guest, initramfs, arguments, say)),
    });
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let firsts = turns::run(jobs.collect(), AT_ONCE.min(cpus));
    let rows = all.iter().zip(firsts.into_iter().rev()).map(|(series, first)| match first {
        Some(First::Row(row)) => row.announce(),
        Some(First::Silent(silent)) => again(series, *silent, initramfs, arguments).announce(),
        None => {
            Row::broken(&layer(series), Duration::ZERO, &anyhow::anyhow!("its thread panicked")).announce()
        }
    });
    rows.collect()
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

/// Runs the tests in one guest, beside another.
fn first(
    series: &str,
    guest: anyhow::Result<Guest>,
    initramfs: &Path,
    arguments: &Arguments,
    say: &dyn Fn(String),
) -> First {
    let (kernel, module, filesystems) = match guest {
        Ok(Guest { kernel, module, filesystems }) => (kernel, module, filesystems),
        // Whoever names a kernel wants that one; the usual ones depend on what mirrors still have.
        Err(error) if arguments.kernels.is_empty() => {
            return First::Row(Row::skipped(&layer(series), format!("{error:#}")));
        }
        Err(error) => return First::Row(Row::broken(&layer(series), Duration::ZERO, &error)),
    };
    let without = match module {
        Ok(Some(_)) => "",
        Ok(None) => ", without the NVIDIA stand-in: its headers are not to be had",
        Err(error) => return First::Row(Row::broken(&layer(series), Duration::ZERO, &error)),
    };
    let and_without = if filesystems.is_empty() { ", without modules for tests of disks" } else { "" };
    let started = Instant::now();
    let note = format!("Linux {}{without}{and_without}", kernel.release);
    let boot = Boot { kernel: &kernel, initramfs, by_hand: arguments.keep, messages: "quiet" };
    match boot.run(say) {
        Err(error) if error.is::<Hung>() => {
            say(format!("{error:#}; once more, when it has the machine to itself"));
            let note = format!("{note}, hung at first");
            First::Silent(Box::new(Silent { kernel, note, took: started.elapsed() }))
        }
        outcome => First::Row(row(series, outcome, started.elapsed(), note)),
    }
}

/// Runs the tests once more in a guest that fell silent beside another, now that it is alone, with the kernel's warnings:
/// twice in a row is a fault of ours.
fn again(series: &str, silent: Silent, initramfs: &Path, arguments: &Arguments) -> Row {
    let Silent { kernel, note, took } = silent;
    let started = Instant::now();
    let boot = Boot { kernel: &kernel, initramfs, by_hand: arguments.keep, messages: "loglevel=5" };
    let outcome = boot.run(&|line| println!("[{series}] {line}"));
    row(series, outcome, took + started.elapsed(), note)
}

fn row(series: &str, outcome: anyhow::Result<(Tally, Vec<Failure>)>, took: Duration, note: String) -> Row {
    match outcome {
        Ok((tally, failures)) => Row { layer: layer(series), tally, took, note: Some(note), failures },
        Err(error) => Row::broken(&layer(series), took, &error),
    }
}

/// What the row of a kernel is called.
fn layer(series: &str) -> String {
    format!("vm {series}")
}
