//! `cargo xtask test`: every layer of tests, cheapest first. None stops at another's failure.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, stdout};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::Context as _;

use crate::child::{Child, End, Output};
use crate::counts::{Counts, Reader};
use crate::failures::Failure;
use crate::idle::Idle;
use crate::report::{self, Row};
use crate::{failures, prometheus, setup, vm, workspace};

/// What is said again of a layer that failed as a whole.
const LAST_LINES: usize = 25;

/// Run every layer of tests.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Only what needs neither root nor setup: format, lints, unit and golden tests
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also download and test NVIDIA's non-free driver, libcuda and nvidia-smi, as `cargo xtask vm --real-driver` explains
    #[arg(long, conflicts_with = "quick")]
    pub(crate) non_free: bool,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let mut rows = Vec::new();
    if !arguments.quick
        && let Err(error) = set_up()
    {
        // Without root it says what to type, and the layers that need none of that still run.
        let row = if workspace::is_root() {
            Row::broken("setup", Duration::ZERO, &error)
        } else {
            Row::skipped("setup", format!("{error:#}"))
        };
        rows.push(row.announce());
    }
    let driver = vm::Arguments { real_driver: true, non_free: arguments.non_free, ..Default::default() };
    // Compiles for ten minutes. The tests of this host wait most of the time.
    let prepared = (!arguments.quick).then(|| prepare(arguments.non_free));
    rows.push(check("fmt", &["fmt", "--all", "--check"]).announce());
    rows.push(
        check("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]).announce(),
    );
    let unit = ["test", "--workspace", "--exclude", "glassbox-tests", "--no-fail-fast"];
    rows.push(tests("unit", &unit, &[]).announce());
    if !arguments.quick {
        rows.push(host().announce());
    }
    if let Some(prepared) = prepared {
        heading("NVIDIA's driver for the guests, built meanwhile");
        // Whatever kept it from being built is found again by the guests' layer, and reported there.
        if let Err(error) = prepared.and_then(|idle| idle.wait(&mut stdout())) {
            println!("{error:#}");
        }
        heading("vm and real driver");
        rows.extend(vm::rows_of(&[vm::Arguments::default(), driver]));
    }
    report::print(&rows)
}

/// Builds the real driver's modules with the CPU time that other layers leave.
fn prepare(non_free: bool) -> anyhow::Result<Idle> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.args(["vm", "--real-driver", "--prepare"]).args(non_free.then_some("--non-free"));
    let directory = workspace::scratch().join("vm");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Idle::start(&mut command, &directory.join("prepare.log"))
}

fn set_up() -> anyhow::Result<()> {
    heading("setup");
    setup::main(&setup::Arguments { tests: true, bench: false, ..setup::Arguments::default() })
}

/// The tests of this host's kernel, containers and Prometheus. They load programs and start containers.
fn host() -> Row {
    if !workspace::is_root() {
        heading("host");
        let reason = "not root; type: sudo --preserve-env=PATH,HOME cargo xtask test";
        return Row::skipped("host", reason.to_owned());
    }
    let arguments = ["test", "--package", "glassbox-tests", "--no-fail-fast"];
    tests("host", &arguments, &["--test-threads=1"])
}

/// A layer that holds or does not.
fn check(layer: &str, arguments: &[&str]) -> Row {
    heading(layer);
    let started = Instant::now();
    let tool = arguments.first().copied().unwrap_or_default();
    let present = workspace::cargo().args([tool, "--version"]).output();
    if !present.is_ok_and(|output| output.status.success()) {
        return Row::skipped(
            layer,
            format!("cargo {tool} is not installed; try: rustup component add {layer}"),
        );
    }
    let mut command = workspace::cargo();
    command.args(arguments);
    let mut last = VecDeque::new();
    let end = shown(command, &mut |line| {
        last.push_back(line.to_owned());
        if last.len() > LAST_LINES {
            last.pop_front();
        }
        true
    });
    match end {
        Ok(end) => {
            let passed = end.is_success();
            let counts = Counts { passed: u32::from(passed), failed: u32::from(!passed), skipped: 0 };
            let failure = (!passed).then(|| Failure { test: layer.to_owned(), output: last.into() });
            let failures = failure.into_iter().collect();
            Row { layer: layer.to_owned(), counts, took: started.elapsed(), note: None, failures }
        }
        Err(error) => Row::broken(layer, started.elapsed(), &error),
    }
}

/// A layer of tests, counted.
fn tests(layer: &str, cargo: &[&str], harness: &[&str]) -> Row {
    heading(layer);
    let started = Instant::now();
    let mut command = workspace::cargo();
    command.args(cargo).args(["--", "--show-output"]).args(harness);
    if let Some(directory) = prometheus::directory() {
        command.env(prometheus::VARIABLE, directory);
    }
    match count(command) {
        Ok((counts, failures)) => {
            Row { layer: layer.to_owned(), counts, took: started.elapsed(), note: None, failures }
        }
        Err(error) => Row::broken(layer, started.elapsed(), &error),
    }
}

/// Runs tests whose output it shows and counts.
fn count(command: Command) -> anyhow::Result<(Counts, Vec<Failure>)> {
    let (mut counts, mut failures) = (Reader::default(), failures::Reader::default());
    let end = shown(command, &mut |line| {
        counts.line(line);
        failures.line(line)
    })?;
    Ok((counts.end(end.is_success()), failures.end()))
}

/// Runs a command; each line of its output is shown if `take` says so.
fn shown(mut command: Command, take: &mut dyn FnMut(&str) -> bool) -> anyhow::Result<End> {
    if stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    Child::start(&mut command, Output::Both)?.follow(|line| {
        if take(&line) {
            println!("{line}");
        }
        Ok(())
    })
}

fn heading(layer: &str) {
    println!("\n=== {layer} ===");
}
