//! The slowdown of a process in a container by the agent, by runqlat and by other tools.
//!
//! A round measures every workload with each tool, in an order of its own, and without any tool before and after. A slowdown
//! compares these three. They must be close together, because the speed of the machine changes within seconds. The workloads
//! are processes that live for the whole run, because the placement of a new process's memory in the caches has a larger
//! effect than any of the tools. `cargo xtask bench` runs this program and makes a table of its JSON.

mod servers;
mod tools;
mod workloads;

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    measure::{cpu_time, end_by_rest, flag, rest},
};
use serde_json::{Map, json};

use self::{
    tools::{is_process, tool},
    workloads::WORKLOADS,
};

/// Time after a tool that is a process starts, until its programs are attached, and after it exits, until they are gone.
const PROCESS_WARM_UP: Duration = Duration::from_millis(500);
/// The same for a program that this process attaches itself.
const PROGRAM_WARM_UP: Duration = Duration::from_millis(10);
/// By default, the kernel measures the programs' run time in one second of thirty, and a new agent starts with such a
/// second, so it would never be measured without these statistics.
const CONFIGURATION: &str =
    "log = \"error\"\n[kernel]\nprogram_stats = \"never\"\n[docker]\nenabled = false\n";
fn main() -> anyhow::Result<()> {
    let slice = Duration::from_millis(flag("--slice-ms")?);
    if let Ok(name) = flag::<String>("--workload") {
        return be_victim(&name, slice);
    }
    end_by_rest();
    let rounds: usize = flag("--rounds")?;
    let (tools, workloads): (String, String) = (flag("--tools")?, flag("--workloads")?);
    let mut tools: Vec<&str> = tools.split(',').collect();
    let directory = tempfile::tempdir().context("make a directory")?;
    let configuration = directory.path().join("agent.toml");
    std::fs::write(&configuration, CONFIGURATION).context("write the agent's configuration")?;
    let (cgroup, _) = Cgroup::container(&v2_root().context("find the v2 hierarchy")?)?;
    let start = |name: &str| match servers::start(name, slice, &cgroup) {
        Some(server) => server,
        None => Ok(Box::new(Workload::start(name, slice, &cgroup)?) as Box<dyn Victim>),
    };
    let mut victims = workloads.split(',').map(start).collect::<anyhow::Result<Vec<_>>>()?;
    // All tools of a run have the same warm-up, so that no slice follows a longer sleep.
    let warm_up = if tools.iter().any(|name| is_process(name)) { PROCESS_WARM_UP } else { PROGRAM_WARM_UP };
    let mut measure = || {
        rest(warm_up)?;
        victims.iter_mut().map(|victim| victim.rate()).collect::<anyhow::Result<Vec<f64>>>()
    };
    let mut before = measure()?;
    let mut report = Vec::new();
    for _ in 0..rounds {
        let mut of_round = Map::new();
        for &name in &tools {
            let tool = tool(name, &configuration, &cgroup)?;
            let on = measure()?;
            drop(tool);
            let after = measure()?;
            let mut of_tool = Map::new();
            for (index, workload) in workloads.split(',').enumerate() {
                let off = f64::midpoint(before[index], after[index]);
                of_tool.insert(workload.into(), json!({ "off": off, "on": on[index] }));
            }
            of_round.insert(name.into(), of_tool.into());
            before = after;
        }
        report.push(of_round);
        tools.rotate_left(1);
    }
    println!("{}", json!({ "rounds": report }));
    Ok(())
}

/// The process of a [`Workload`]. For each line that it reads, it works for a slice of time and prints its operations per
/// second of its CPU time. That time includes what a tool adds to system calls and switches, and depends little on other
/// processes.
fn be_victim(name: &str, slice: Duration) -> anyhow::Result<()> {
    let (_, workload) =
        WORKLOADS.into_iter().find(|(known, _)| *known == name).context("find the workload")?;
    pin_to(0).context("pin the workload to a CPU")?;
    let mut work = workload()?;
    for line in io::stdin().lines() {
        line.context("read standard input")?;
        // A warm-up: a CPU that was idle is slower at first, and the tool's data is not in a cache yet.
        work(slice)?;
        let before = cpu_time(std::process::id())?;
        let count = work(slice)?;
        let spent = cpu_time(std::process::id())? - before;
        println!("{}", count as f64 / spent.as_secs_f64());
    }
    Ok(())
}

/// Something in the container that is slowed down.
trait Victim {
    /// Works for a slice of time after a warm-up of the same length. Returns its operations per second of CPU time.
    fn rate(&mut self) -> anyhow::Result<f64>;
}

/// A workload in the container, which sleeps until it gets a line. It is killed when dropped.
struct Workload {
    name: String,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Process,
}

impl Workload {
    fn start(name: &str, slice: Duration, cgroup: &Cgroup) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("find this program")?);
        command.arg(format!("--workload={name}")).arg(format!("--slice-ms={}", slice.as_millis()));
        command.args(std::env::args().filter(|word| word.starts_with("--device=")));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the workload")?;
        let asks = child.stdin.take().context("take its input")?;
        let answers = BufReader::new(child.stdout.take().context("take its output")?);
        cgroup.enter(child.id().cast_signed()).context("put the workload into the container")?;
        Ok(Self { name: name.to_owned(), asks, answers, _process: Process(child) })
    }
}

impl Victim for Workload {
    fn rate(&mut self) -> anyhow::Result<f64> {
        let name = &self.name;
        writeln!(self.asks).with_context(|| format!("ask for {name}"))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).with_context(|| format!("read the answer of {name}"))?;
        answer.trim().parse().with_context(|| format!("read the rate of {name} in {answer:?}"))
    }
}

/// A process that is killed when dropped.
struct Process(Child);

impl Process {
    fn id(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, signal: i32) -> anyhow::Result<()> {
        // SAFETY: no pointers. The child is ours and not waited for, so no other process has its number.
        let refused = unsafe { libc::kill(self.id().cast_signed(), signal) };
        ensure!(
            refused == 0,
            "send signal {signal} to process {}: {}",
            self.id(),
            io::Error::last_os_error()
        );
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has already exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets this thread, and the processes that it starts, run on one CPU only.
fn pin_to(cpu: usize) -> io::Result<()> {
    // SAFETY: a CPU set is plain bits, and all zeros are valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is live, and the macro checks the number.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set outlives the call, which reads it.
    let refused = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if refused == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
