//! `cargo xtask test` runs all layers of tests, cheapest first. A failed layer does not stop the others.

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
use crate::{failures, node_exporter, prometheus, setup, vm, workspace};

/// Lines of output that are printed again for a failed check.
const LAST_LINES: usize = 25;

/// Run all layers of tests.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Run only layers that need neither root nor setup: format, lints, unit and golden tests
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also download and test NVIDIA's non-free driver, libcuda and nvidia-smi, see `cargo xtask vm --help`
    #[arg(long, conflicts_with = "quick")]
    pub(crate) non_free: bool,
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let mut rows = Vec::new();
    if !arguments.quick
        && let Err(error) = set_up()
    {
        // Without root, the error has the commands to run as root, and the other layers still run.
        let row = if workspace::is_root() {
            Row::broken("setup", Duration::ZERO, &error)
        } else {
            Row::skipped("setup", format!("{error:#}"))
        };
        rows.push(row.announce());
    }
    let driver = vm::Arguments { real_driver: true, non_free: arguments.non_free, ..Default::default() };
    // The build takes ten minutes. The tests of the host use little CPU time, so it runs at the same time.
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
        heading("background build of NVIDIA's driver for the guests");
        // If the build failed, the layer of the guests repeats it and reports the error.
        if let Err(error) = prepared.and_then(|idle| idle.wait(&mut stdout())) {
            println!("{error:#}");
        }
        heading("vm and real driver");
        rows.extend(vm::rows_of(&[vm::Arguments::default(), driver]));
    }
    report::print(&rows)
}

/// Builds the modules of the real driver in the background, with idle CPU time only.
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

/// The tests against the kernel, container runtimes and Prometheus of this host. They load kernel programs and start
/// containers.
fn host() -> Row {
    if !workspace::is_root() {
        heading("host");
        let reason = "root required; run: sudo --preserve-env=PATH,HOME cargo xtask test";
        return Row::skipped("host", reason.to_owned());
    }
    let arguments = ["test", "--package", "glassbox-tests", "--no-fail-fast"];
    tests("host", &arguments, &["--test-threads=1"])
}

/// A layer with a single result: passed or failed.
fn check(layer: &str, arguments: &[&str]) -> Row {
    heading(layer);
    let started = Instant::now();
    let tool = arguments.first().copied().unwrap_or_default();
    let present = workspace::cargo().args([tool, "--version"]).output();
    if !present.is_ok_and(|output| output.status.success()) {
        return Row::skipped(
            layer,
            format!("cargo {tool} is not installed; run: rustup component add {layer}"),
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

/// A layer of tests.
fn tests(layer: &str, cargo: &[&str], harness: &[&str]) -> Row {
    heading(layer);
    let started = Instant::now();
    let mut command = workspace::cargo();
    command.args(cargo).args(["--", "--show-output"]).args(harness);
    if let Some(directory) = prometheus::directory() {
        command.env(prometheus::VARIABLE, directory);
    }
    if let Some(program) = node_exporter::NODE_EXPORTER.program() {
        command.env(node_exporter::VARIABLE, program);
    }
    match count(command) {
        Ok((counts, failures)) => {
            Row { layer: layer.to_owned(), counts, took: started.elapsed(), note: None, failures }
        }
        Err(error) => Row::broken(layer, started.elapsed(), &error),
    }
}

/// Runs tests, prints their output and counts them.
fn count(command: Command) -> anyhow::Result<(Counts, Vec<Failure>)> {
    let (mut counts, mut failures) = (Reader::default(), failures::Reader::default());
    let end = shown(command, &mut |line| {
        counts.line(line);
        failures.line(line)
    })?;
    Ok((counts.end(end.is_success()), failures.end()))
}

/// Runs a command and prints each line of output for which `take` returns true.
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
