//! A server that a test starts: with a directory and a port of its own, its log kept and shown if the test
//! fails, and gone when dropped.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::http;

/// How long a server may take to be ready: an unoptimized agent on a busy machine spends half a minute on the kernel's types.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a server may take to end when it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of the log of a server is shown.
const LOG_LINES: usize = 40;

/// A running server.
pub struct Service {
    name: &'static str,
    child: Child,
    directory: tempfile::TempDir,
}

/// An address on which nobody listens at the moment.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("find a free port: {error}"))
}

impl Service {
    /// Starts what `command` makes of the new server's directory, and waits until `ready` is answered with
    /// 200.
    ///
    /// # Panics
    /// Where it cannot be started, ends, or is not ready in time; the panic shows its log.
    pub fn start(
        name: &'static str,
        address: SocketAddr,
        ready: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("make a directory: {error}"));
        let mut command = command(directory.path());
        let log =
            File::create(directory.path().join("log")).unwrap_or_else(|error| panic!("make a log: {error}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // SAFETY: between fork and exec one async-signal-safe call is made, which takes no pointers. Should
        // this test be killed, so is the server.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}: {command:?}"));
        let mut service = Self { name, child, directory };
        let deadline = Instant::now() + START_TIMEOUT;
        while !http::get(address, ready).is_ok_and(|answer| answer.status == 200) {
            let ended = service.child.try_wait().unwrap_or_default();
            assert!(ended.is_none(), "{name} has ended: {ended:?}");
            assert!(Instant::now() < deadline, "{name} is not ready after {START_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True once its process has ended.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// What it has written to standard error.
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
        // SAFETY: no pointers; the child is ours and was not waited for, or the signal finds nobody.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
