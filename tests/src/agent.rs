//! Runs the agent's binary as users run it.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    http,
    service::{Service, free_address},
};

/// Names the binary to test. The default is the binary that cargo builds beside the tests.
pub const VARIABLE: &str = "GLASSBOX_AGENT";

/// Name of its configuration file.
const CONFIGURATION: &str = "agent.toml";

/// A running agent that has made its first snapshot.
pub struct Agent {
    /// The address of its listener.
    pub address: SocketAddr,
    service: Service,
}

impl Agent {
    /// Starts an agent with a configuration, in TOML.
    ///
    /// # Panics
    /// If there is no agent, or it does not become ready.
    #[must_use]
    pub fn start(configuration: &str) -> Self {
        Self::start_with(configuration, |_| ())
    }

    /// Like [`start`](Self::start), if a collector works on this host.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn with_collector(collector: &str, configuration: &str) -> Result<Self, String> {
        let agent = Self::start(configuration);
        let up = format!("glassbox_collector_up{{collector=\"{collector}\"}} 1");
        let is_up = agent.metrics().lines().any(|line| line == up);
        is_up.then_some(agent).ok_or_else(|| format!("the collector {collector} cannot work on this host"))
    }

    /// Like [`start`](Self::start), with changes to the command.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(configuration: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::start_until(free_address(), configuration, change, is_ready)
    }

    /// Like [`start`](Self::start), for an agent that does not answer plain HTTP.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_tls(configuration: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::start_until(free_address(), configuration, change, |_, service| {
            service.log().contains("first snapshot")
        })
    }

    /// Like [`start`](Self::start), on an address that an agent has used before.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_at(address: SocketAddr, configuration: &str) -> Self {
        Self::start_until(address, configuration, |_| (), is_ready)
    }

    fn start_until(
        address: SocketAddr,
        configuration: &str,
        change: impl FnOnce(&mut Command),
        is_ready: impl Fn(SocketAddr, &Service) -> bool,
    ) -> Self {
        let binary = binary();
        let service = Service::start_until(
            "the agent",
            |service| is_ready(address, service),
            |directory| {
                let file = directory.join(CONFIGURATION);
                fs::write(&file, configuration)
                    .unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
                let mut command = Command::new(binary);
                command.arg("run").arg("--config").arg(file).args(["--listen", &address.to_string()]);
                change(&mut command);
                command
            },
        );
        Self { address, service }
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Its resident memory in bytes; 0 after it has exited.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// Its resident memory in bytes without pages of its program file, most of a debug build's; 0 after it has exited.
    #[must_use]
    pub fn anonymous_bytes(&self) -> u64 {
        self.memory_bytes("RssAnon:")
    }

    fn memory_bytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Replaces its configuration file and sends SIGHUP.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn reload(&self, configuration: &str) {
        let file = self.service.directory().join(CONFIGURATION);
        fs::write(&file, configuration).unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
        self.send(libc::SIGHUP);
    }

    /// Sends a signal.
    pub fn send(&self, signal: i32) {
        // SAFETY: no pointers; the child is ours and was not waited for.
        unsafe { libc::kill(self.pid().cast_signed(), signal) };
    }

    /// Its exit status, once it has exited; `None` also if a signal ended it.
    #[must_use]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.service.exit_code()
    }

    /// Sends SIGTERM. Returns whether the agent exits within `patience`.
    #[must_use]
    pub fn end_within(&mut self, patience: Duration) -> bool {
        self.send(libc::SIGTERM);
        self.ends_within(patience)
    }

    /// Returns whether the agent exits within `patience`.
    #[must_use]
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.service.has_ended() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.service.has_ended()
    }

    /// The current text of `/metrics`.
    ///
    /// # Panics
    /// If the response is not 200.
    #[must_use]
    pub fn metrics(&self) -> String {
        let answer = http::get(self.address, "/metrics").unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

fn is_ready(address: SocketAddr, _: &Service) -> bool {
    http::get(address, "/readyz").is_ok_and(|answer| answer.status == 200)
}

/// The agent's binary, built from the current sources.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os(VARIABLE) {
        Some(path) => path.into(),
        None => built().unwrap_or_else(|error| {
            panic!("find the agent: {error:#}; build it (cargo build --package glassbox) and name it in {VARIABLE}")
        }),
    })
}

/// For tests, Cargo builds only the agent's library, so the binary may be missing or outdated.
fn built() -> anyhow::Result<PathBuf> {
    let test = env::current_exe().context("find this test")?;
    // TARGET/PROFILE/deps/TEST
    let profile = test.parent().and_then(Path::parent).context("find cargo's output")?;
    let target = profile.parent().context("find cargo's output")?;
    let mut cargo = Command::new(env::var_os("CARGO").context("find cargo in the environment")?);
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // `cargo xtask test` selects the whole workspace. With another selection, cargo would enable other features of the agent's
    // dependencies and compile everything again. `command` is a test of the agent, so the agent is built, too.
    let arguments: &[&str] = if profile.ends_with("release") {
        &["build", "--release", "--package", "glassbox"]
    } else {
        &["test", "--workspace", "--no-run", "--test", "command"]
    };
    cargo.args(arguments).args(["--quiet", "--target-dir"]).arg(target);
    let status = cargo.status().context("run cargo")?;
    anyhow::ensure!(status.success(), "build the agent: {status}");
    let binary = profile.join("glassbox");
    anyhow::ensure!(binary.is_file(), "{} is not there", binary.display());
    Ok(binary)
}
