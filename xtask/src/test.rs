//! `cargo xtask test`: every layer of tests, cheapest first. None stops at another's failure.

use std::io::{BufRead as _, BufReader, IsTerminal as _, stdout};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::report::{self, Row};
use crate::tally::{Reader, Tally};
use crate::{prometheus, setup, vm, workspace};

/// Run every layer of tests.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Only what needs neither root nor setup: format, lints, unit and golden tests
    #[arg(long)]
    pub(crate) quick: bool,
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
    rows.push(check("fmt", &["fmt", "--all", "--check"]).announce());
    rows.push(
        check("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]).announce(),
    );
    let unit = ["test", "--workspace", "--exclude", "glassbox-tests", "--no-fail-fast"];
    rows.push(tests("unit", &unit, &[]).announce());
    if !arguments.quick {
        rows.push(host().announce());
        heading("vm");
        rows.extend(vm::rows(&vm::Arguments::default()));
    }
    report::print(&rows)
}

fn set_up() -> anyhow::Result<()> {
    heading("setup");
    setup::main(&setup::Arguments { tests: true, bench: false })
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
    match workspace::cargo().args(arguments).stdin(Stdio::null()).status().context("run cargo") {
        Ok(status) => {
            let tally = Tally {
                passed: u32::from(status.success()),
                failed: u32::from(!status.success()),
                skipped: 0,
            };
            Row { layer: layer.to_owned(), tally, took: started.elapsed(), note: None }
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
        Ok(tally) => Row { layer: layer.to_owned(), tally, took: started.elapsed(), note: None },
        Err(error) => Row::broken(layer, started.elapsed(), &error),
    }
}

/// Runs a command whose output it shows and counts.
fn count(mut command: Command) -> anyhow::Result<Tally> {
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    if stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stdin(Stdio::null()).stdout(writer.try_clone().context("duplicate a pipe")?).stderr(writer);
    let mut child = command.spawn().context("run cargo")?;
    // With it go the pipe's other ends in this process.
    drop(command);
    let mut counts = Reader::default();
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.line(&line);
    }
    let status = child.wait().context("wait for cargo")?;
    Ok(counts.end(status.success()))
}

fn heading(layer: &str) {
    println!("\n=== {layer} ===");
}
