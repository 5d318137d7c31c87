//! Measures the cost and the response times of running processes, for the benchmarks of `cargo xtask bench`.

pub mod empty;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// Timeout for each step of a response. cAdvisor takes seconds with a thousand cgroups.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The parsed value of a flag of the form `--name=value`.
///
/// # Errors
/// If the flag is missing, or its value is invalid.
pub fn flag<T: std::str::FromStr>(name: &str) -> anyhow::Result<T> {
    let mut given = std::env::args().skip(1);
    let value = given.find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
    let value = value.with_context(|| format!("{name}=… is not given"))?;
    value.parse().ok().with_context(|| format!("{name}={value} is invalid"))
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// After this call, an interrupt (Ctrl-C, SIGTERM) makes the next [`rest`] fail instead of ending the process, so that the
/// containers and cgroups of a benchmark are removed.
pub fn end_by_rest() {
    extern "C" fn note(_signal: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, note as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
}

/// Sleeps.
///
/// # Errors
/// After an interrupt, see [`end_by_rest`].
pub fn rest(time: Duration) -> anyhow::Result<()> {
    const STEP: Duration = Duration::from_millis(100);
    let begun = Instant::now();
    loop {
        ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
        match time.saturating_sub(begun.elapsed()) {
            Duration::ZERO => return Ok(()),
            left => std::thread::sleep(left.min(STEP)),
        }
    }
}

/// CPU time of a process and all its threads, including those that have exited, in nanoseconds.
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to live values of the required types.
    let refused = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    ensure!(refused == 0, "find the CPU clock of process {pid}: error {refused}");
    // SAFETY: as above.
    let refused = unsafe { libc::clock_gettime(clock, &raw mut time) };
    ensure!(refused == 0, "read the CPU clock of process {pid}");
    Ok(Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec)?))
}

/// CPU time of the threads of a process that have this name. The kernel keeps the first 15 bytes of a name.
///
/// # Errors
/// If there is no such process or no such thread.
pub fn thread_cpu_time(pid: u32, name: &str) -> anyhow::Result<Duration> {
    let directory = format!("/proc/{pid}/task");
    let kept = &name[..name.len().min(15)];
    let mut sum = None;
    for thread in fs::read_dir(&directory).with_context(|| format!("list {directory}"))?.flatten() {
        // A thread may end meanwhile.
        let read = |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        if read("comm").trim_end() == kept
            && let Some(on_cpu_ns) = read("schedstat").split(' ').next().and_then(|ns| ns.parse().ok())
        {
            sum = Some(sum.unwrap_or_default() + Duration::from_nanos(on_cpu_ns));
        }
    }
    sum.with_context(|| format!("find the thread {name} in {directory}"))
}

/// Resident memory of a process in bytes: `VmRSS`.
///
/// # Errors
/// If there is no such process.
pub fn rss_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("find VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("read VmRSS")?;
    Ok(kib * 1024)
}

/// A response, and the time from connecting to its last byte.
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The body, still compressed if it was.
    pub body: Vec<u8>,
    /// The time it took.
    pub took: Duration,
}

impl Answer {
    /// The number of lines of the body that start with this text.
    #[must_use]
    pub fn lines_with(&self, start: &str) -> usize {
        String::from_utf8_lossy(&self.body).lines().filter(|line| line.starts_with(start)).count()
    }
}

/// Requests a path as Prometheus does, on a new connection.
///
/// # Errors
/// If the server does not answer, or not in HTTP.
pub fn get(address: SocketAddr, path: &str, gzip: bool) -> anyhow::Result<Answer> {
    let asked = || format!("get http://{address}{path}");
    let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{encoding}\r\n");
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).with_context(asked)?;
    stream.set_read_timeout(Some(TIMEOUT)).with_context(asked)?;
    stream.write_all(request.as_bytes()).with_context(asked)?;
    let mut answer = Vec::with_capacity(1 << 20);
    stream.read_to_end(&mut answer).with_context(asked)?;
    let took = begun.elapsed();
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").with_context(asked)?;
    let body = answer.split_off(head + 4);
    let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.with_context(asked)?, body, took })
}
