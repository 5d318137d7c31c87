//! A benchmark run: the measuring programs and the number of rounds.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::LIMIT;
use super::peers::Peers;
use crate::child::{self, Limits};
use crate::{step, workspace};

/// The measuring programs in `tests/bench`.
const PROGRAMS: [&str; 6] =
    ["probe-cost", "agent-cost", "text-cost", "victim-cost", "served-cost", "nvml-cost"];

/// State common to all groups.
#[derive(Debug)]
pub(super) struct Run {
    /// Whether to run fewer and shorter rounds.
    pub(super) quick: bool,
    /// Tools that glassbox is compared with.
    pub(super) peers: Peers,
    directory: PathBuf,
}

impl Run {
    /// Builds the agent and the measuring programs, and finds or downloads the peers.
    pub(super) fn prepare(quick: bool) -> anyhow::Result<Self> {
        println!("Building");
        let mut build = workspace::cargo();
        build.args(["build", "--release", "--package", "glassbox", "--package", "glassbox-tests"]);
        build.args(["--bin", "glassbox"]).args(PROGRAMS.iter().flat_map(|name| ["--bin", name]));
        step::run("build the agent and the measuring programs", &mut build)?;
        println!("Preparing the peers");
        Ok(Self { quick, peers: Peers::find(), directory: workspace::target().join("release") })
    }

    /// Returns `quick` in a quick run, otherwise `full`.
    pub(super) fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Creates an empty file.
    pub(super) fn scratch_file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = workspace::scratch().join(name);
        std::fs::create_dir_all(workspace::scratch()).context("create the scratch directory")?;
        std::fs::write(&path, []).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The flag with the agent's path.
    pub(super) fn agent(&self) -> String {
        format!("--agent={}", self.directory.join("glassbox").display())
    }

    /// Runs a measuring program and parses its JSON.
    pub(super) fn measure(&self, what: &str, program: &str, arguments: &[String]) -> anyhow::Result<Value> {
        println!("  > {what}");
        let started = Instant::now();
        let mut command = Command::new(self.directory.join(program));
        command.args(arguments).env("GLASSBOX_AGENT", self.directory.join("glassbox"));
        let figures = child::output(&mut command, Limits { total: LIMIT, ..Limits::NONE })?;
        println!("    done in {} s", started.elapsed().as_secs());
        serde_json::from_str(&figures).with_context(|| format!("parse the results of {program}"))
    }
}
