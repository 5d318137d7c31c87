//! `cuda-work` in a cgroup with the path of a container.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cgroup::{Cgroup, v2_root};

/// The number of digits of an ID that the agent exports if no runtime has a name.
const SHORT_ID_BYTES: usize = 12;
/// Time in which the agent discovers a new container.
const DISCOVERY_TIME: Duration = Duration::from_secs(1);

/// The application. It is killed when dropped.
pub(super) struct Worker {
    // Must be dropped before the cgroup, which can be removed only when it is empty.
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    id: String,
    _cgroup: Cgroup,
}

impl Worker {
    pub(super) fn start(program: &Path, library: &Path) -> anyhow::Result<Self> {
        let root = v2_root().context("find cgroup v2 on this host")?;
        let (cgroup, id) = Cgroup::container(&root).context("make a cgroup")?;
        let mut command = Command::new(program);
        command.arg(library).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        cgroup.enter(child.id().cast_signed()).context("move cuda-work into its cgroup")?;
        let input = child.stdin.take().context("take its input")?;
        let output = BufReader::new(child.stdout.take().context("take its output")?);
        thread::sleep(DISCOVERY_TIME);
        Ok(Self { child, input, output, id, _cgroup: cgroup })
    }

    /// Its name in the metrics.
    pub(super) fn container(&self) -> &str {
        &self.id[..SHORT_ID_BYTES]
    }

    /// Sends a command and waits for the response.
    pub(super) fn send(&mut self, command: &str) -> anyhow::Result<Value> {
        let mut line = String::new();
        let sent = writeln!(self.input, "{command}").and_then(|()| self.output.read_line(&mut line));
        sent.with_context(|| format!("send the command {command}"))?;
        ensure!(!line.is_empty(), "cuda-work exited at the command {command}; its output is above");
        serde_json::from_str(&line).with_context(|| format!("read the response to {command}"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails if it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
