//! The guests of `cargo xtask vm`, in the background while the other layers run.
//!
//! They take minutes to build and to run. The tests of the host use little CPU time, and these guests get only what is left
//! (`SCHED_IDLE`). A guest that fails there is repeated in the foreground: its clock goes on while it has no CPU.

use std::io::stdout;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anyhow::Context as _;

use crate::idle::Idle;
use crate::report::Row;
use crate::{results, vm, workspace};

/// Beginnings of the names of their rows.
const LAYERS: [&str; 3] = [vm::real_driver::KIND, vm::systemd::KIND, vm::KIND];

/// The guests, for the foreground.
pub(super) fn guests(non_free: bool) -> vm::Arguments {
    vm::Arguments { all: true, short: true, non_free, ..vm::Arguments::default() }
}

/// The running guests.
pub(super) struct Guests {
    idle: Idle,
    results: PathBuf,
}

impl Guests {
    /// Starts to build and run them.
    pub(super) fn start(non_free: bool) -> anyhow::Result<Self> {
        let directory = workspace::scratch().join("vm");
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        let results = directory.join("background.results");
        // Results of an earlier run.
        let _ = fs::remove_file(&results);
        let mut command = Command::new(env::current_exe().context("find this program")?);
        command.args(["vm", "--all", "--short", "--results"]).arg(&results);
        command.args(non_free.then_some("--non-free"));
        let idle = Idle::start(&mut command, &directory.join("background.log"))?;
        Ok(Self { idle, results })
    }

    /// Waits for their end, and prints their output.
    pub(super) fn rows(started: anyhow::Result<Self>) -> Vec<Row> {
        let rows = started.and_then(|Self { idle, results }| {
            let end = idle.wait(&mut stdout())?;
            results::read(&results).with_context(|| format!("guests in the background: {end}"))
        });
        // Each layer is then repeated.
        rows.unwrap_or_else(|error| {
            LAYERS.map(|layer| Row::broken(layer, Duration::ZERO, &error).announce()).into()
        })
    }
}
