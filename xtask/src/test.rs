//! `cargo xtask test` runs all layers of tests, cheapest first. A failed layer does not stop the others.

mod background;
mod host;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, IsTerminal as _, stdout};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::child::{Child, End, Output};
use crate::counts::{Counts, Reader};
use crate::failures::Failure;
use crate::report::{self, Row};
use crate::{failures, node_exporter, prometheus, setup, vm, workspace};
use background::Guests;

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
    let guests = (!arguments.quick).then(|| Guests::start(arguments.non_free));
    rows.push(check("fmt", &["fmt", "--all", "--check"]).announce());
    rows.push(
        check("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]).announce(),
    );
    rows.push(unit().announce());
    if let Some(guests) = guests {
        heading("host");
        rows.extend(host::rows().into_iter().map(Row::announce));
        heading("guests");
        let (failed, passed): (Vec<_>, Vec<_>) =
            Guests::rows(guests).into_iter().partition(|row| row.counts.failed > 0);
        rows.extend(passed);
        // Tests that measure times may fail because the background left them too little CPU time. They run again.
        let names: Vec<_> = failed.iter().map(|row| row.layer.clone()).collect();
        if !names.is_empty() {
            println!("Running once more: {}", names.join(", "));
        }
        let again = vm::rows_named(&background::guests(arguments.non_free), &names);
        let is_repeated = |row: &Row| again.iter().any(|one| one.layer.starts_with(&row.layer));
        rows.extend(failed.into_iter().filter(|row| !is_repeated(row)));
        rows.extend(again);
    }
    report::print(&rows)
}

fn set_up() -> anyhow::Result<()> {
    heading("setup");
    setup::main(&setup::Arguments { tests: true, bench: false, ..setup::Arguments::default() })
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
    let end = follow(command, &mut |line| {
        println!("{line}");
        last.push_back(line.to_owned());
        if last.len() > LAST_LINES {
            last.pop_front();
        }
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

/// The tests in the libraries of all packages and in this program, and the test programs of the agent.
fn unit() -> Row {
    heading("unit");
    match programs("agent/tests") {
        Ok(programs) => {
            let mut targets = vec!["--lib", "--bin", "xtask"];
            targets.extend(programs.iter().flat_map(|name| ["--test", name]));
            tests_of("unit", &targets, &[], &|line| println!("{line}"))
        }
        Err(error) => Row::broken("unit", Duration::ZERO, &error),
    }
}

/// The test programs of a package, sorted: the files and the directories with `main.rs` in its directory of tests.
fn programs(directory: &str) -> anyhow::Result<Vec<String>> {
    let directory = workspace::root().join(directory);
    let list = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let is_program =
                path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file();
            let name = path.file_stem().and_then(|name| name.to_str()).filter(|_| is_program);
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        Ok(names)
    };
    list().with_context(|| format!("read {}", directory.display()))
}

/// A layer of tests, which may run at the same time as others. `print` gets the lines of output.
fn tests_of(layer: &str, targets: &[&str], harness: &[&str], print: &dyn Fn(&str)) -> Row {
    let started = Instant::now();
    let mut command = workspace::cargo_test();
    command.args(targets).args(["--no-fail-fast", "--", "--show-output"]).args(harness);
    if let Some(directory) = prometheus::directory() {
        command.env(prometheus::VARIABLE, directory);
    }
    if let Some(program) = node_exporter::NODE_EXPORTER.program() {
        command.env(node_exporter::VARIABLE, program);
    }
    match count(command, print) {
        Ok((counts, failures)) => {
            Row { layer: layer.to_owned(), counts, took: started.elapsed(), note: None, failures }
        }
        Err(error) => Row::broken(layer, started.elapsed(), &error),
    }
}

/// Runs tests and counts them.
fn count(command: Command, print: &dyn Fn(&str)) -> anyhow::Result<(Counts, Vec<Failure>)> {
    let (mut counts, mut failures) = (Reader::default(), failures::Reader::default());
    let end = follow(command, &mut |line| {
        counts.line(line);
        if failures.line(line) {
            print(line);
        }
    })?;
    Ok((counts.end(end.is_success()), failures.end()))
}

/// Runs a command. `take` gets each line of output.
fn follow(mut command: Command, take: &mut dyn FnMut(&str)) -> anyhow::Result<End> {
    if stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    Child::start(&mut command, Output::Both)?.follow(|line| {
        take(&line);
        Ok(())
    })
}

fn heading(layer: &str) {
    println!("\n=== {layer} ===");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_without_a_test_harness_have_no_tests() {
        let directories = ["tests/bench", "tests/bench/victim-cost", "tests/stand-ins", "tests/tools"];
        let files = directories.iter().flat_map(|name| fs::read_dir(workspace::root().join(name)).unwrap());
        let files = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let files: Vec<_> = files.chain([workspace::root().join("agent/src/main.rs")]).collect();
        assert!(files.len() > 15, "{files:?}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains(concat!("#[", "test]")), "no layer runs the tests of {}", file.display());
        }
    }
}
