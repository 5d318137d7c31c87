//! `cuda-work` in a cgroup that looks like a container.

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

/// As many digits of an id as the agent shows where no runtime knows a name.
const SHORT_ID_BYTES: usize = 12;
/// Time in which the agent discovers a new container.
const DISCOVERY_TIME: Duration = Duration::from_secs(1);

/// The application; killed when dropped.
pub(super) struct Worker {
    // Before the cgroup, which can only be removed once it is empty.
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

    /// Gives an order and waits for the answer.
    pub(super) fn order(&mut self, order: &str) -> anyhow::Result<Value> {
        let mut line = String::new();
        let sent = writeln!(self.input, "{order}").and_then(|()| self.output.read_line(&mut line));
        sent.with_context(|| format!("order {order}"))?;
        ensure!(!line.is_empty(), "cuda-work ended at the order {order}; what it said is above");
        serde_json::from_str(&line).with_context(|| format!("read the answer to {order}"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
