//! How much slower a process in a container gets while the agent runs, and while runqlat does.
//!
//! Each round measures three workloads in each of the states off, glassbox, runqlat and empty program, in an
//! order of its own; a slowdown compares the states of one round. `cargo xtask bench` runs it and makes a
//! table of its JSON.

use std::{
    any::Any,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    measure::{attach_empty_program, cpu_time, flag},
    service::free_address,
    worker::{Work, Worker},
};
use serde_json::{Map, Value, json};

/// In a round that starts with the first; the next ones start with the others, and every second one goes
/// backwards.
const STATES: [&str; 4] = ["off", "glassbox", "runqlat", "empty"];
/// What a state needs to be in force.
const SETTLE: Duration = Duration::from_millis(700);
/// By default the kernel measures the programs' run time in one second of thirty, the agent's first among
/// them: a fresh agent would never be seen without.
const CONFIGURATION: &str =
    "log = \"error\"\n[kernel]\nprogram_stats = \"never\"\n[docker]\nenabled = false\n";
const RESPONSE_BYTES: usize = 1024;

/// Does something over and over for a time and returns how often.
type Workload = fn(Duration) -> anyhow::Result<u64>;
const WORKLOADS: [(&str, Workload); 3] =
    [("switches", switches), ("syscalls", syscalls), ("requests", requests)];

fn main() -> anyhow::Result<()> {
    let slice = Duration::from_millis(flag("--slice-ms")?);
    if let Ok(name) = flag::<String>("--workload") {
        let workload =
            WORKLOADS.into_iter().find(|(known, _)| *known == name).context("find the workload")?.1;
        let count = workload(slice)?;
        println!("{}", count as f64 / cpu_time(std::process::id())?.as_secs_f64());
        return Ok(());
    }
    let rounds: usize = flag("--rounds")?;
    let (cgroup, _) = Cgroup::container(&v2_root().context("find the v2 hierarchy")?)?;
    // Stopped; it keeps whoever clears away empty cgroups from this one between two workloads.
    let _resident = Worker::start(&cgroup, Work::Sleep, None);
    let directory = tempfile::tempdir().context("make a directory")?;
    let configuration = directory.path().join("agent.toml");
    std::fs::write(&configuration, CONFIGURATION).context("write the agent's configuration")?;
    let mut report = Vec::new();
    for round in 0..rounds {
        let mut rates: Map<String, Value> = Map::new();
        let mut order = STATES;
        order.rotate_left(round / 2 % STATES.len());
        if round % 2 == 1 {
            order.reverse();
        }
        for state in order {
            let _tool = tool(state, &configuration)?;
            std::thread::sleep(SETTLE);
            let measured =
                WORKLOADS.map(|(name, _)| Ok::<_, anyhow::Error>((name, rate(name, slice, &cgroup)?)));
            let measured = measured.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
            rates.insert(state.into(), measured.into_iter().collect());
        }
        report.push(rates);
    }
    println!("{}", json!({ "rounds": report }));
    Ok(())
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

/// What makes a state, until dropped: nothing, the agent, runqlat, or a program that does nothing on the same
/// hook. Fresh each time, with nothing learned.
fn tool(state: &str, configuration: &Path) -> anyhow::Result<Option<Box<dyn Any>>> {
    let mut command = match state {
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
        "empty" => return Ok(Some(Box::new(attach_empty_program()?))),
        _ => return Ok(None),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| format!("start {command:?}"))?;
    Ok(Some(Box::new(Process(child))))
}

/// Operations of a workload in the container per second of CPU time: what else runs on the host then matters
/// little, and what a tool adds to system calls and switches is in that time.
fn rate(name: &str, slice: Duration, cgroup: &Cgroup) -> anyhow::Result<f64> {
    let procs = cgroup.path().join("cgroup.procs");
    let procs = std::fs::OpenOptions::new().write(true).open(&procs).context("open cgroup.procs")?;
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.arg(format!("--workload={name}")).arg(format!("--slice-ms={}", slice.as_millis()));
    // SAFETY: the child only writes one byte to an open file before it runs the program; 0 means itself.
    unsafe {
        command.pre_exec(move || (&procs).write_all(b"0"));
    }
    let output = command.stdin(Stdio::null()).output().context("run the workload")?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("read the workload's rate")
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
fn switches(time: Duration) -> anyhow::Result<u64> {
    let ((mut here, mut there), (mut back, mut forth)) = (std::io::pipe()?, std::io::pipe()?);
    pin_to(0)?;
    // Inherits the CPU.
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while here.read_exact(&mut byte).is_ok() && forth.write_all(&byte).is_ok() {}
    });
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < time {
        there.write_all(&[0])?;
        back.read_exact(&mut [0])?;
        count += 2;
    }
    drop(there);
    echo.join().ok().context("end the other thread")?;
    Ok(count)
}

/// One thread calls the kernel and nothing else.
fn syscalls(time: Duration) -> anyhow::Result<u64> {
    pin_to(0)?;
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < time {
        for _ in 0..1000 {
            // SAFETY: no arguments, cannot fail.
            unsafe { libc::syscall(libc::SYS_getppid) };
        }
        count += 1000;
    }
    Ok(count)
}

/// One client asks one HTTP server over loopback, on one connection and one CPU: where the scheduler puts
/// them would matter more than all that is to be seen.
fn requests(time: Duration) -> anyhow::Result<u64> {
    pin_to(0)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = std::thread::spawn(move || -> anyhow::Result<()> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut requests = BufReader::new(stream.try_clone()?).lines();
        let mut stream = stream;
        let body = "x".repeat(RESPONSE_BYTES);
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {RESPONSE_BYTES}\r\n\r\n{body}");
        while let Some(Ok(line)) = requests.next() {
            if line.is_empty() {
                stream.write_all(response.as_bytes())?;
            }
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {RESPONSE_BYTES}\r\n\r\n").len();
    let mut response = vec![0; head + RESPONSE_BYTES];
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < time {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")?;
        stream.read_exact(&mut response)?;
        count += 1;
    }
    drop(stream);
    server.join().ok().context("end the server")??;
    Ok(count)
}
