//! How much slower a process in a container gets while the agent runs, while runqlat does, and so on.
//!
//! A round measures every workload with each tool, in an order of its own, and without any before and after; a
//! slowdown compares the three. The machine's own speed changes within seconds, so they are close together;
//! and the workloads are processes that live through the whole run, because where a fresh one's memory lies in
//! the caches makes more of a difference than any of the tools. `cargo xtask bench` runs it and makes a table of
//! its JSON.

use std::{
    any::Any,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use glassbox::{
    collectors::{
        Collector, Context,
        nvidia_driver::{self, ExtraPaths},
    },
    config::{Config, ProgramStats},
    containers::cgroup::Layout,
    kernel::{Kernel, Options},
};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    measure::{attach_empty_ioctl_programs, attach_empty_program, cpu_time, end_by_rest, flag, rest},
    service::free_address,
};
use serde_json::{Map, json};

/// What a process needs until all it does is in force, and what its end needs to be over.
const SETTLE: Duration = Duration::from_millis(500);
/// The same for a program that this process attaches itself.
const SETTLE_PROGRAM: Duration = Duration::from_millis(10);
/// By default the kernel measures the programs' run time in one second of thirty, the agent's first among
/// them: a fresh agent would never be seen without.
const CONFIGURATION: &str =
    "log = \"error\"\n[kernel]\nprogram_stats = \"never\"\n[docker]\nenabled = false\n";
const RESPONSE_BYTES: usize = 1024;

/// Does something over and over for a time and returns how often.
type Work = Box<dyn FnMut(Duration) -> anyhow::Result<u64>>;
type Workload = fn() -> anyhow::Result<Work>;
const WORKLOADS: [(&str, Workload); 5] = [
    ("switches", switches),
    ("syscalls", syscalls),
    ("requests", requests),
    ("driver_ioctls", driver_ioctls),
    ("other_ioctls", other_ioctls),
];

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
    let start = |name: &str| Victim::start(name, slice, &cgroup);
    let mut victims = workloads.split(',').map(start).collect::<anyhow::Result<Vec<_>>>()?;
    // All tools of a run need as long to be in force and to be gone, so that nobody's slice follows a longer sleep.
    let settle = if tools.iter().any(|name| is_process(name)) { SETTLE } else { SETTLE_PROGRAM };
    let mut measure = || {
        rest(settle)?;
        victims.iter_mut().map(Victim::rate).collect::<anyhow::Result<Vec<f64>>>()
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

/// The other side of [`Victim`]: works for a slice of time for each line that it reads, and answers with its
/// operations per second of its CPU time. What else runs on the host then matters little, and what a tool adds
/// to system calls and switches is in that time.
fn be_victim(name: &str, slice: Duration) -> anyhow::Result<()> {
    let (_, workload) =
        WORKLOADS.into_iter().find(|(known, _)| *known == name).context("find the workload")?;
    pin_to(0)?;
    let mut work = workload()?;
    for line in std::io::stdin().lines() {
        line.context("read standard input")?;
        // A CPU that idled is slower at first, and what the tool touches is in no cache yet.
        work(slice)?;
        let before = cpu_time(std::process::id())?;
        let count = work(slice)?;
        let spent = cpu_time(std::process::id())? - before;
        println!("{}", count as f64 / spent.as_secs_f64());
    }
    Ok(())
}

/// A workload in the container, which sleeps until it is asked. Killed when dropped.
struct Victim {
    name: String,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Process,
}

impl Victim {
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

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// True for a tool that is a process of its own.
fn is_process(tool: &str) -> bool {
    ["glassbox", "runqlat"].contains(&tool)
}

/// The agent (`glassbox`), its programs without the agent (`programs`), `runqlat`, or a program that does nothing
/// on the same hook (`empty`). In force until dropped, and fresh each time, with nothing learned.
fn tool(name: &str, configuration: &Path, cgroup: &Cgroup) -> anyhow::Result<Box<dyn Any>> {
    let mut command = match name {
        "glassbox" => {
            let mut command = Command::new(flag::<String>("--agent")?);
            command.args(["run", "--listen", &free_address().to_string(), "--config"]).arg(configuration);
            command
        }
        "runqlat" => {
            let mut command = Command::new(flag::<String>("--runqlat")?);
            command.arg("3600");
            command
        }
        "empty" => return Ok(Box::new(attach_empty_program()?)),
        "programs" => return Ok(Box::new(attach_our_programs(cgroup)?)),
        "empty_ioctl" => return Ok(Box::new(attach_empty_ioctl_programs()?)),
        "driver" => return Ok(Box::new(attach_driver_programs(cgroup)?)),
        _ => bail!("there is no tool {name:?}"),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| format!("start {command:?}"))?;
    Ok(Box::new(Process(child)))
}

/// As the agent attaches them, with the container entered as it enters one that is older than itself.
fn attach_our_programs(cgroup: &Cgroup) -> anyhow::Result<Kernel> {
    let config = Config { program_stats: ProgramStats::Never, ..Config::default() };
    let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })?;
    kernel.rung("scheduler")?;
    let slot = kernel.slots.claim().context("claim a slot")?;
    ensure!(kernel.slots.enter(cgroup.id()?, slot, true), "enter the container");
    Ok(kernel)
}

/// With the NVIDIA driver's programs, for which the file of [`driver_ioctls`] is its control device.
fn attach_driver_programs(cgroup: &Cgroup) -> anyhow::Result<(Box<dyn Collector>, Kernel)> {
    let nvidia_extra = ExtraPaths { ctl: vec![flag::<PathBuf>("--device")?], ..ExtraPaths::default() };
    let config = Config { nvidia_extra, program_stats: ProgramStats::Never, ..Config::default() };
    let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })?;
    let layout = Layout::detect(&config.cgroup_root)?;
    let mut context =
        Context { config: &config, layout: &layout, kernel: Some(&mut kernel), kernel_error: None };
    let collector = (nvidia_driver::SPEC.start)(&mut context)?;
    kernel.rung(nvidia_driver::SPEC.name)?;
    let slot = kernel.slots.claim().context("claim a slot")?;
    ensure!(kernel.slots.enter(cgroup.id()?, slot, true), "enter the container");
    Ok((collector, kernel))
}

fn pin_to(cpu: usize) -> anyhow::Result<()> {
    // SAFETY: a set of CPUs is plain bits, of which none set is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is live, and the macro checks the number.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is live for the call, which reads it.
    let refused = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    ensure!(refused == 0, "pin to CPU {cpu}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Two threads on one CPU pass a byte to and fro: each pass is a context switch.
fn switches() -> anyhow::Result<Work> {
    let ((mut here, mut there), (mut back, mut forth)) = (std::io::pipe()?, std::io::pipe()?);
    // Inherits the CPU; ends with the process.
    std::thread::spawn(move || {
        let mut byte = [0];
        while here.read_exact(&mut byte).is_ok() && forth.write_all(&byte).is_ok() {}
    });
    Ok(Box::new(move |time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            there.write_all(&[0])?;
            back.read_exact(&mut [0])?;
            count += 2;
        }
        Ok(count)
    }))
}

/// One thread calls the kernel and nothing else.
fn syscalls() -> anyhow::Result<Work> {
    Ok(Box::new(|time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for _ in 0..1000 {
                // SAFETY: no arguments, cannot fail.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            count += 1000;
        }
        Ok(count)
    }))
}

/// `RM_CONTROL`, over and over, on the file that is the driver's control device to the programs. The file system
/// knows no such request and says so at once, so that nearly all of the time is that of the system call.
fn driver_ioctls() -> anyhow::Result<Work> {
    ioctls(&flag::<PathBuf>("--device")?)
}

/// The same on a file that is nobody's device.
fn other_ioctls() -> anyhow::Result<Work> {
    ioctls(&std::env::current_exe().context("find this program")?)
}

fn ioctls(path: &Path) -> anyhow::Result<Work> {
    use std::os::fd::AsRawFd as _;
    const RM_CONTROL: libc::c_ulong = 0xC020_462A;
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut parameters = [0u32; 8];
    Ok(Box::new(move |time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for _ in 0..1000 {
                // SAFETY: a live buffer of the size that the request tells.
                unsafe { libc::ioctl(file.as_raw_fd(), RM_CONTROL, &raw mut parameters) };
            }
            count += 1000;
        }
        Ok(count)
    }))
}

/// One client asks one HTTP server over loopback, on one connection and one CPU: where the scheduler puts
/// them would matter more than all that is to be seen.
fn requests() -> anyhow::Result<Work> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Ends with the process.
    std::thread::spawn(move || serve(&listener));
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut response = vec![0; response_text().len()];
    Ok(Box::new(move |time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")?;
            stream.read_exact(&mut response)?;
            count += 1;
        }
        Ok(count)
    }))
}

fn response_text() -> String {
    let body = "x".repeat(RESPONSE_BYTES);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {RESPONSE_BYTES}\r\n\r\n{body}")
}

fn serve(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let requests = BufReader::new(stream.try_clone()?).lines();
    let response = response_text();
    for line in requests {
        if line?.is_empty() {
            stream.write_all(response.as_bytes())?;
        }
    }
    Ok(())
}
