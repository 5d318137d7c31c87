//! One run of the benchmarks: the programs it measures with, and how much it measures.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::LIMIT;
use super::peers::Peers;
use crate::child::{self, Limits};
use crate::{step, workspace};

/// The programs that measure, in `tests/src/bin`.
const PROGRAMS: [&str; 5] = ["probe-cost", "agent-cost", "text-cost", "victim-cost", "nvml-cost"];

/// What the groups share.
#[derive(Debug)]
pub(super) struct Run {
    /// Fewer and shorter rounds.
    pub(super) quick: bool,
    /// What glassbox is compared with.
    pub(super) peers: Peers,
    directory: PathBuf,
}

impl Run {
    /// Builds the agent and the measuring programs, and finds the peers.
    pub(super) fn prepare(quick: bool) -> anyhow::Result<Self> {
        println!("Building");
        let mut build = workspace::cargo();
        build.args(["build", "--release", "--package", "glassbox", "--package", "glassbox-tests"]);
        build.args(["--bin", "glassbox"]).args(PROGRAMS.iter().flat_map(|name| ["--bin", name]));
        step::run("build the agent and what measures it", &mut build)?;
        println!("Finding the peers");
        Ok(Self { quick, peers: Peers::find(), directory: workspace::target().join("release") })
    }

    /// `full`, or `quick` in a quick run.
    pub(super) fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// An empty file.
    pub(super) fn scratch_file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = workspace::scratch().join(name);
        std::fs::create_dir_all(workspace::scratch()).context("create the scratch directory")?;
        std::fs::write(&path, []).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The agent.
    pub(super) fn agent(&self) -> String {
        format!("--agent={}", self.directory.join("glassbox").display())
    }

    /// Runs a measuring program and reads its JSON.
    pub(super) fn measure(&self, what: &str, program: &str, arguments: &[String]) -> anyhow::Result<Value> {
        println!("  > {what}");
        let started = Instant::now();
        let mut command = Command::new(self.directory.join(program));
        command.args(arguments).env("GLASSBOX_AGENT", self.directory.join("glassbox"));
        let figures = child::output(&mut command, Limits { total: LIMIT, ..Limits::NONE })?;
        println!("    done in {} s", started.elapsed().as_secs());
        serde_json::from_str(&figures).with_context(|| format!("read the figures of {program}"))
    }
}
