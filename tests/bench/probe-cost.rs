//! What the scheduler programs cost, beside an empty program and libbpf-tools' `runqlat` on the same hook.
//! `cargo xtask bench` runs it and makes a table of its JSON.
//!
//! stress-ng switches tasks as fast as it can. Each round attaches the programs in another order, because who
//! comes first pays for the cache lines that all of them read, and then reads each program's run time from
//! the kernel's own statistics (5.8). The clock that those read costs some tens of ns per run: it is in every
//! figure, and subtracting the empty program's takes it out.

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

/// A peer must have attached within this time.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between attaching everything and the measurement.
const WARM_UP: Duration = Duration::from_millis(300);
/// Metadata of programs as the kernel keeps them.
const NAME_BYTES: usize = 15;

const EMPTY: &str = "empty";
const GLASSBOX: &str = "glassbox";
const RUNQLAT: &str = "runqlat";
const RUNQLAT_PROGRAMS: [&str; 3] = ["sched_switch", "sched_wakeup", "sched_wakeup_new"];
/// Everyone together, in every order.
const TOGETHER: [&[&str]; 6] = [
    &[EMPTY, GLASSBOX, RUNQLAT],
    &[RUNQLAT, GLASSBOX, EMPTY],
    &[GLASSBOX, EMPTY, RUNQLAT],
    &[RUNQLAT, EMPTY, GLASSBOX],
    &[EMPTY, RUNQLAT, GLASSBOX],
    &[GLASSBOX, RUNQLAT, EMPTY],
];
/// In turn, as on a host that has only one of them: nobody pushes the other's data out of the caches.
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

/// One round: what each program ran and for how long, and the order of attachment.
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
    // Only now, so that our programs see it being born in every order.
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
        let was = begin.get(&id).context("a program came while it was measured")?;
        let time_ns = u64::try_from((now.time - was.time).as_nanos()).context("read a program's run time")?;
        let runs = now.runs - was.runs;
        programs.push(json!({ "owner": now.owner, "name": now.name, "runs": runs, "time_ns": time_ns }));
    }
    Ok(json!({ "order": order, "seconds": elapsed.as_secs_f64(), "programs": programs }))
}

/// Detaches everything when dropped.
#[derive(Default)]
struct Attached {
    held: Vec<Box<dyn Any>>,
    /// Programs that were there before.
    others: HashSet<u32>,
    /// Which of them a program belongs to, by its id.
    owners: HashMap<u32, &'static str>,
}

/// What the kernel says of a program.
struct Usage {
    owner: &'static str,
    name: String,
    runs: u64,
    time: Duration,
}

impl Attached {
    /// Every program that is new and bears a name of `owner`'s is its.
    fn claim(&mut self, owner: &'static str) {
        // Others' programs may go while they are listed.
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
        ensure!(times.len() == self.owners.len(), "a program went away while it was measured");
        Ok(times)
    }
}

/// Whose program bears this name.
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

/// The ids of all programs that bear such names.
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

/// A process that is killed when dropped, with all it started.
struct Peer(Child);

impl Peer {
    /// Starts it as the leader of a process group.
    fn start(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn().map(Self)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SAFETY: no pointers; the group is led by our child, which was not waited for yet.
        unsafe { libc::kill(-self.0.id().cast_signed(), libc::SIGKILL) };
        // It may have ended by itself.
        let _ = self.0.wait();
    }
}

/// runqlat, attached; it prints its histograms to nobody.
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
    // It attaches them a moment after the last was loaded.
    std::thread::sleep(Duration::from_millis(100));
    Ok(peer)
}

/// stress-ng, switching tasks in pairs over pipes for at most `time`, in a container or where we are.
fn stressor(cgroup: Option<&Cgroup>, time: Duration) -> anyhow::Result<Peer> {
    let timeout = format!("{}s", time.as_secs().max(1));
    let mut command = Command::new("stress-ng");
    command.args(["--switch", "2", "--timeout", &timeout, "--quiet"]);
    if let Some(cgroup) = cgroup {
        let procs = cgroup.path().join("cgroup.procs");
        let procs = std::fs::OpenOptions::new().write(true).open(&procs).context("open cgroup.procs")?;
        // SAFETY: the child only writes one byte to an open file before it becomes stress-ng; 0 means itself.
        unsafe {
            command.pre_exec(move || std::io::Write::write_all(&mut &procs, b"0"));
        }
    }
    Peer::start(&mut command).context("start stress-ng")
}
