//! A server with its own directory and port. It is stopped when dropped, and its log is printed if the test fails.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::http;

/// An unoptimized agent on a busy machine needs half a minute to read the kernel's types.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Time between SIGTERM and SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Ports below those of clients (net.ipv4.ip_local_port_range), and above those of most servers.
const UNUSED_PORTS: Range<u16> = 15_000..32_000;
/// Number of lines of a server's log that are printed.
const LOG_LINES: usize = 40;

/// A running server.
pub struct Service {
    name: &'static str,
    child: Child,
    directory: tempfile::TempDir,
}

/// An address with a port that is free at the moment. A server may need ten seconds to listen on it, so it is none of the
/// ports that the kernel gives to clients meanwhile, and no other test of this process gets it.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports = std::iter::repeat_with(|| {
        // Processes that run at the same time begin at different ports.
        let number = std::process::id().wrapping_mul(101).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        UNUSED_PORTS.start + (number % u32::from(UNUSED_PORTS.end - UNUSED_PORTS.start)) as u16
    });
    let port = ports.take(UNUSED_PORTS.len()).find(is_free).expect("a free port");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Service {
    /// Starts the command that `command` makes for the new server's directory, and waits until the path `ready` is answered
    /// with 200.
    ///
    /// # Panics
    /// If it cannot be started, exits, or is not ready in time. The panic shows its log.
    pub fn start(
        name: &'static str,
        address: SocketAddr,
        ready: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let is_ready = |_: &Self| http::get(address, ready).is_ok_and(|answer| answer.status == 200);
        Self::start_until(name, is_ready, command)
    }

    /// Like [`start`](Self::start), and waits until `is_ready`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_until(
        name: &'static str,
        is_ready: impl Fn(&Self) -> bool,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("make a directory: {error}"));
        let mut command = command(directory.path());
        let log =
            File::create(directory.path().join("log")).unwrap_or_else(|error| panic!("make a log: {error}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // SAFETY: between fork and exec only async-signal-safe calls are made, and the set outlives those that take it.
        unsafe {
            command.pre_exec(|| {
                // The kernel kills the server if this test is killed.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                // The demonstration has blocked SIGTERM, with which the server is stopped.
                let mut none = std::mem::zeroed();
                libc::sigemptyset(&raw mut none);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}: {command:?}"));
        let mut service = Self { name, child, directory };
        let deadline = Instant::now() + START_TIMEOUT;
        while !is_ready(&service) {
            let ended = service.child.try_wait().unwrap_or_default();
            assert!(ended.is_none(), "{name} has exited: {ended:?}");
            assert!(Instant::now() < deadline, "{name} is not ready after {START_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has exited.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// Its exit status, once it has exited; `None` also if a signal ended it.
    #[must_use]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- log of {} ---", self.name);
            lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).for_each(|line| eprintln!("{line}"));
        }
        // SAFETY: no pointers. The child is ours and not yet waited for, or no process has its number.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
