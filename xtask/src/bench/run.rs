//! One run of the benchmarks: the programs it measures with, and how much it measures.

use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::LIMIT;
use super::peers::Peers;
use crate::{step, workspace};

/// The programs that measure, in `tests/bench`.
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
        let begun = Instant::now();
        let mut output = tempfile()?;
        let mut child = Command::new(self.directory.join(program))
            .args(arguments)
            .env("GLASSBOX_AGENT", self.directory.join("glassbox"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("duplicate a file")?)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let status = loop {
            if let Some(status) = child.try_wait().with_context(|| format!("look after {program}"))? {
                break status;
            }
            if begun.elapsed() > LIMIT {
                child.kill().with_context(|| format!("kill {program}"))?;
                child.wait().with_context(|| format!("wait for {program}"))?;
                anyhow::bail!("{program}: no end after {} s", LIMIT.as_secs());
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        anyhow::ensure!(status.success(), "{program}: {status}");
        println!("    done in {} s", begun.elapsed().as_secs());
        let mut text = String::new();
        output.rewind().context("read what it said")?;
        output.read_to_string(&mut text).context("read what it said")?;
        serde_json::from_str(&text).with_context(|| format!("read the figures of {program}"))
    }
}

/// A file without a name.
fn tempfile() -> anyhow::Result<std::fs::File> {
    let path = workspace::scratch().join("bench-output");
    std::fs::create_dir_all(workspace::scratch()).context("create the scratch directory")?;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let file = options.open(&path).with_context(|| format!("open {}", path.display()))?;
    std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    Ok(file)
}
