//! `cargo xtask bench`: what glassbox costs, each figure beside a peer's from the same run, held against its
//! budget.
//!
//! The measuring programs are in `tests/bench`; here their figures become a table. Each file of
//! this folder is a group of rows. Other work on the machine shows in the figures: leave it alone meanwhile.

mod agent;
mod driver;
mod host_network;
mod nvml;
mod peers;
mod probe;
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

/// Where the table is kept.
const DOCUMENT: &str = "docs/overhead.md";
/// No measuring program takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Measure what glassbox costs, beside what others cost.
///
/// Takes about ten minutes and root, and wants the machine for itself.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Fewer and shorter rounds: five minutes, for a first look
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write the table to docs/overhead.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Only these groups of rows: probe, agent, text, victim, driver, host_network, nvml
    #[arg(value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
}

type Group = fn(&Run) -> anyhow::Result<Vec<Row>>;
const GROUPS: [(&str, Group); 7] = [
    ("probe", probe::rows),
    ("agent", agent::rows),
    ("text", text::rows),
    ("victim", victim::rows),
    ("driver", driver::rows),
    ("host_network", host_network::rows),
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

/// Measures and prints; false where a group could not be measured.
fn measure(arguments: &Arguments) -> anyhow::Result<bool> {
    for group in &arguments.groups {
        let known: Vec<_> = GROUPS.iter().map(|(name, _)| *name).collect();
        anyhow::ensure!(
            known.contains(&group.as_str()),
            "there is no group {group:?}; there are {}",
            known.join(", ")
        );
    }
    anyhow::ensure!(
        !arguments.write || arguments.groups.is_empty(),
        "--write writes the whole table: name no groups"
    );
    anyhow::ensure!(workspace::is_root(), "not root; type: sudo --preserve-env=PATH,HOME cargo xtask bench");
    setup::main(&setup::Arguments { tests: false, bench: true, ..setup::Arguments::default() })?;
    let run = Run::prepare(arguments.quick)?;
    let load_before = machine::load()?;
    let (mut rows, mut complete) = (Vec::new(), true);
    for (name, group) in GROUPS {
        if !arguments.groups.is_empty() && !arguments.groups.iter().any(|wanted| wanted == name) {
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
        println!("written to {DOCUMENT}");
    }
    Ok(complete)
}
