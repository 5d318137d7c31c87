//! `cargo xtask bench` measures the overhead of glassbox and of comparable tools in the same run, and checks budgets.
//!
//! The measuring programs are in `tests/bench`; this module makes a table of their results. Each file in this directory
//! has a group of rows. Other load on the machine changes the results.

mod agent;
mod driver;
mod host_network;
mod nvml;
mod peers;
mod probe;
mod requests;
mod rounds;
mod run;
mod table;
mod text;
mod victim;

use std::time::Duration;
use std::{fs, process::ExitCode};

use anyhow::Context as _;

use crate::{machine, setup, workspace};
use run::Run;
use table::Row;

/// The document with the table.
const DOCUMENT: &str = "docs/overhead.md";
/// Time limit of a measuring program.
const LIMIT: Duration = Duration::from_secs(300);

/// Measure the overhead of glassbox and of comparable tools.
///
/// Takes about ten minutes. Needs root and an otherwise idle machine.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Run fewer and shorter rounds (about five minutes)
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write the table to docs/overhead.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Measure only these groups: probe, agent, text, victim, driver, host_network, requests, nvml
    #[arg(value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
}

type Group = fn(&Run) -> anyhow::Result<Vec<Row>>;
const GROUPS: [(&str, Group); 8] = [
    ("probe", probe::rows),
    ("agent", agent::rows),
    ("text", text::rows),
    ("victim", victim::rows),
    ("driver", driver::rows),
    ("host_network", host_network::rows),
    ("requests", requests::rows),
    ("nvml", nvml::rows),
];

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    match measure(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints the table. Returns false if a group failed.
fn measure(arguments: &Arguments) -> anyhow::Result<bool> {
    for group in &arguments.groups {
        let known: Vec<_> = GROUPS.iter().map(|(name, _)| *name).collect();
        anyhow::ensure!(
            known.contains(&group.as_str()),
            "unknown group {group:?}; groups are {}",
            known.join(", ")
        );
    }
    anyhow::ensure!(
        !arguments.write || arguments.groups.is_empty(),
        "--write cannot be used with groups, because it writes the whole table"
    );
    anyhow::ensure!(
        workspace::is_root(),
        "root required; run: sudo --preserve-env=PATH,HOME cargo xtask bench"
    );
    setup::main(&setup::Arguments { tests: false, bench: true, ..setup::Arguments::default() })?;
    let run = Run::prepare(arguments.quick)?;
    let load_before = machine::load()?;
    let (mut rows, mut complete) = (Vec::new(), true);
    for (name, group) in GROUPS {
        if !arguments.groups.is_empty() && !arguments.groups.iter().any(|requested| requested == name) {
            continue;
        }
        println!("Measuring: {name}");
        match group(&run) {
            Ok(group) => rows.extend(group),
            Err(error) => {
                println!("FAIL {name}: {error:#}");
                rows.push(Row::unmeasured(name, &error));
                complete = false;
            }
        }
    }
    let document = table::document(&rows, &machine::describe(load_before)?, arguments.quick);
    println!("\n{document}");
    if arguments.write {
        let path = workspace::root().join(DOCUMENT);
        fs::write(&path, &document).with_context(|| format!("write {}", path.display()))?;
        println!("Written to {DOCUMENT}");
    }
    Ok(complete)
}
