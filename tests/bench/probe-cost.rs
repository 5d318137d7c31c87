//! The cost of the scheduler programs, compared with an empty program and libbpf-tools' `runqlat` on the same hook. `cargo
//! xtask bench` runs this program and makes a table of its JSON.
//!
//! stress-ng switches tasks as fast as possible. Each round attaches the programs in another order, because the first one
//! pays for the cache lines that all of them read. It then reads the run time of each program from the kernel's statistics
//! (Linux 5.8). The clock reads of those statistics add some tens of ns to each run; subtracting the run time of the empty
//! program removes them.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use aya::programs::loaded_programs;
use glassbox::{
    config::{self, Config, ProgramStats, SchedulerHook},
    kernel::{Kernel, Options},
};
use glassbox_ebpf::programs;
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    measure::{empty::attach_empty_program, end_by_rest, rest},
};
use serde_json::{Value, json};

/// Time in which runqlat must have attached its programs.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between attaching everything and the measurement.
const WARM_UP: Duration = Duration::from_millis(300);
/// Length to which the kernel truncates names of programs.
const NAME_BYTES: usize = 15;

const EMPTY: &str = "empty";
const GLASSBOX: &str = "glassbox";
const RUNQLAT: &str = "runqlat";
const RUNQLAT_PROGRAMS: [&str; 3] = ["sched_switch", "sched_wakeup", "sched_wakeup_new"];
/// All programs together, in every order.
const TOGETHER: [&[&str]; 6] = [
    &[EMPTY, GLASSBOX, RUNQLAT],
    &[RUNQLAT, GLASSBOX, EMPTY],
    &[GLASSBOX, EMPTY, RUNQLAT],
    &[RUNQLAT, EMPTY, GLASSBOX],
    &[EMPTY, RUNQLAT, GLASSBOX],
    &[GLASSBOX, RUNQLAT, EMPTY],
];
/// Two programs at a time, as on a host with only one tool: the other one does not evict its data from the caches.
const IN_TURN: [&[&str]; 4] = [&[EMPTY, GLASSBOX], &[RUNQLAT, EMPTY], &[GLASSBOX, EMPTY], &[EMPTY, RUNQLAT]];

struct Arguments {
    rounds: usize,
    window: Duration,
    tracked: bool,
    together: bool,
    method: SchedulerHook,
    runqlat: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = parse(std::env::args().skip(1))?;
    end_by_rest();
    let root = v2_root().context("this host mounts no cgroup v2 hierarchy")?;
    let mut rounds = Vec::new();
    for round in 0..arguments.rounds {
        let orders: &[&[&'static str]] = if arguments.together { &TOGETHER } else { &IN_TURN };
        rounds.push(measure(&arguments, &root, orders[round % orders.len()])?);
    }
    println!("{}", json!({ "rounds": rounds }));
    Ok(())
}

fn parse(words: impl Iterator<Item = String>) -> anyhow::Result<Arguments> {
    let mut arguments = Arguments {
        rounds: 6,
        window: Duration::from_secs(1),
        tracked: false,
        together: false,
        method: SchedulerHook::Switch,
        runqlat: None,
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((&word, ""));
        match key {
            "--rounds" => arguments.rounds = value.parse().context("read --rounds")?,
            "--window-ms" => {
                arguments.window = Duration::from_millis(value.parse().context("read --window-ms")?);
            }
            "--together" => arguments.together = true,
            "--tracked" => arguments.tracked = true,
            "--wakeup-hook" => arguments.method = SchedulerHook::Wakeup,
            "--runqlat" => arguments.runqlat = Some(value.to_owned()),
            _ => bail!("unknown argument {word}"),
        }
    }
    Ok(arguments)
}

/// Measures one round: the number of runs and the run time of each program, and the order of attachment.
fn measure(arguments: &Arguments, root: &Path, order: &[&'static str]) -> anyhow::Result<Value> {
    let mut attached = Attached { others: known(), ..Attached::default() };
    for &who in order {
        match (who, &arguments.runqlat) {
            (EMPTY, _) => attached.held.push(Box::new(attach_empty_program()?)),
            (GLASSBOX, _) => attached.held.push(Box::new(kernel(arguments.method)?)),
            (_, Some(program)) => attached.held.push(Box::new(runqlat(program)?)),
            (_, None) => {}
        }
        attached.claim(who);
    }
    // Created after attaching, so that the agent's programs see its start in every order.
    let (cgroup, _) = Cgroup::container(root).context("make a cgroup")?;
    let _stressor =
        stressor(arguments.tracked.then_some(&cgroup), arguments.window + Duration::from_secs(5))?;
    rest(WARM_UP)?;
    let statistics =
        aya::sys::enable_stats(aya::sys::Stats::RunTime).context("enable run-time statistics")?;
    let (begin, begun) = (attached.times()?, Instant::now());
    rest(arguments.window)?;
    let (end, elapsed) = (attached.times()?, begun.elapsed());
    drop(statistics);
    let mut programs = Vec::new();
    for (id, now) in end {
        let was = begin.get(&id).context("a program was loaded during the measurement")?;
        let time_ns = u64::try_from((now.time - was.time).as_nanos()).context("read a program's run time")?;
        let runs = now.runs - was.runs;
        programs.push(json!({ "owner": now.owner, "name": now.name, "runs": runs, "time_ns": time_ns }));
    }
    Ok(json!({ "order": order, "seconds": elapsed.as_secs_f64(), "programs": programs }))
}

/// Attached programs, which are detached when dropped.
#[derive(Default)]
struct Attached {
    held: Vec<Box<dyn Any>>,
    /// Programs that were loaded before.
    others: HashSet<u32>,
    /// The tool that a program belongs to, by program ID.
    owners: HashMap<u32, &'static str>,
}

/// The kernel's statistics of a program.
struct Usage {
    owner: &'static str,
    name: String,
    runs: u64,
    time: Duration,
}

impl Attached {
    /// Assigns every new program with one of `owner`'s names to `owner`.
    fn claim(&mut self, owner: &'static str) {
        // Programs of other tools may be unloaded while they are listed.
        for program in loaded_programs().flatten() {
            let is_its = program.name_as_str().and_then(owner_of) == Some(owner);
            if is_its && !self.others.contains(&program.id()) {
                self.owners.insert(program.id(), owner);
            }
        }
    }

    fn times(&self) -> anyhow::Result<HashMap<u32, Usage>> {
        let mut times = HashMap::new();
        for program in loaded_programs().flatten() {
            if let Some(&owner) = self.owners.get(&program.id()) {
                let name = program.name_as_str().unwrap_or_default().to_owned();
                let (runs, time) = (program.run_count(), program.run_time());
                times.insert(program.id(), Usage { owner, name, runs, time });
            }
        }
        ensure!(times.len() == self.owners.len(), "a program was unloaded during the measurement");
        Ok(times)
    }
}

/// The tool that has a program with this name.
fn owner_of(name: &str) -> Option<&'static str> {
    let is = |whole: &str| name == &whole[..whole.len().min(NAME_BYTES)];
    if is(programs::EMPTY_SWITCH) {
        Some(EMPTY)
    } else if name.starts_with("scheduler_") {
        Some(GLASSBOX)
    } else {
        RUNQLAT_PROGRAMS.into_iter().any(is).then_some(RUNQLAT)
    }
}

/// The IDs of all programs with such names.
fn known() -> HashSet<u32> {
    let is_known = |program: &aya::programs::ProgramInfo| program.name_as_str().and_then(owner_of).is_some();
    loaded_programs().flatten().filter(is_known).map(|program| program.id()).collect()
}

fn kernel(method: SchedulerHook) -> anyhow::Result<Kernel> {
    let config = Config {
        kernel: config::Kernel {
            scheduler_hook: method,
            program_stats: ProgramStats::Never,
            ..config::Kernel::default()
        },
        ..Config::default()
    };
    let kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })?;
    kernel.method("scheduler")?;
    kernel.method("containers")?;
    Ok(kernel)
}

/// A process that is killed with all its children when dropped.
struct Peer(Child);

impl Peer {
    /// Starts it as the leader of a process group.
    fn start(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn().map(Self)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SAFETY: no pointers; the group is led by our child, which has not been waited for.
        unsafe { libc::kill(-self.0.id().cast_signed(), libc::SIGKILL) };
        // Fails if it has already exited.
        let _ = self.0.wait();
    }
}

/// Starts runqlat and waits until it is attached. Its output is discarded.
fn runqlat(program: &str) -> anyhow::Result<Peer> {
    let before = known();
    let mut peer =
        Peer::start(Command::new(program).arg("3600")).with_context(|| format!("start {program}"))?;
    let begun = Instant::now();
    while known().difference(&before).count() < RUNQLAT_PROGRAMS.len() {
        if let Some(status) = peer.0.try_wait()? {
            bail!("{program} ended: {status}");
        }
        ensure!(begun.elapsed() < ATTACH_TIMEOUT, "{program} attached nothing within {ATTACH_TIMEOUT:?}");
        rest(Duration::from_millis(20))?;
    }
    // runqlat attaches its programs a moment after it has loaded the last one.
    std::thread::sleep(Duration::from_millis(100));
    Ok(peer)
}

/// Starts stress-ng, which switches tasks in pairs over pipes for at most `time`, in a container or in this process's
/// cgroup.
fn stressor(cgroup: Option<&Cgroup>, time: Duration) -> anyhow::Result<Peer> {
    let timeout = format!("{}s", time.as_secs().max(1));
    let mut command = Command::new("stress-ng");
    command.args(["--switch", "2", "--timeout", &timeout, "--quiet"]);
    if let Some(cgroup) = cgroup {
        let procs = cgroup.path().join("cgroup.procs");
        let procs = std::fs::OpenOptions::new().write(true).open(&procs).context("open cgroup.procs")?;
        // SAFETY: the child only writes one byte to an open file before exec; 0 moves the writing process.
        unsafe {
            command.pre_exec(move || std::io::Write::write_all(&mut &procs, b"0"));
        }
    }
    Peer::start(&mut command).context("start stress-ng")
}
