//! A Docker daemon for one test, and its containers. The host's daemon and its network are never used.

pub(crate) mod daemon;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

pub use self::daemon::{Daemon, Network};

/// The image of all test containers. It contains only busybox.
pub const IMAGE: &str = "glassbox-tests:1";
const BUSYBOX: &str = "/bin/busybox";

/// Arguments of `docker run` for a container that shares the host's network, like `--network=host` with the host's daemon.
/// Without the runtime, the container would share the network of its daemon's sandbox.
pub const HOST_NETWORK: [&str; 2] = ["--network=host", "--runtime=in-the-hosts-network"];

/// A running daemon.
pub struct Docker {
    socket: PathBuf,
    daemon: Daemon,
}

impl Docker {
    /// Starts a daemon for this test.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn own(network: Network) -> Result<Self, String> {
        if !is_root() {
            return Err("not root".into());
        }
        let daemon = Daemon::start(network)?;
        let docker = Self { socket: daemon.socket(), daemon };
        docker.import_image()?;
        Ok(docker)
    }

    /// Starts a daemon that stands for one of the host: in a sandbox in place of the host, with Docker's default bridge
    /// `docker0`. Tests that run [in that sandbox](crate::sandbox::Sandbox::as_the_host) may start their own daemons beside
    /// it.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn foreign() -> Result<Self, String> {
        Self::own(Network::Docker0)
    }

    /// The socket of its API.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The daemon, for tests that kill and restart it.
    pub const fn daemon_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Runs `docker` and returns its output.
    ///
    /// # Panics
    /// If the command fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments).unwrap_or_else(|error| panic!("run docker: {error}"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {}: {text}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs `docker`, which may fail.
    ///
    /// # Errors
    /// If the command cannot be run at all.
    pub fn try_run(&self, arguments: &[&str]) -> std::io::Result<Output> {
        self.command().args(arguments).output()
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display())).stdin(Stdio::null());
        command
    }

    fn import_image(&self) -> Result<(), String> {
        if self.try_run(&["image", "inspect", IMAGE]).is_ok_and(|output| output.status.success()) {
            return Ok(());
        }
        let root = programs()?;
        let tar =
            Command::new("tar").arg("-C").arg(root.path()).args(["-c", "."]).stdout(Stdio::piped()).spawn();
        let mut tar = tar.map_err(|error| format!("run tar: {error}"))?;
        let archive = tar.stdout.take().ok_or("no pipe from tar")?;
        let import = self.command().args(["import", "-", IMAGE]).stdin(archive).output();
        let _ = tar.wait();
        match import {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("import an image: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("run docker: {error}")),
        }
    }
}

/// The root of the image: this host's busybox with links of some of its names. The package `busybox-static` links it
/// statically.
pub(crate) fn programs() -> Result<tempfile::TempDir, String> {
    let root = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
    let programs = root.path().join("bin");
    let made = std::fs::create_dir(&programs)
        .and_then(|()| std::fs::copy(BUSYBOX, programs.join("busybox")))
        .and_then(|_| {
            ["sh", "sleep", "cat", "nc", "dd", "httpd", "true"]
                .iter()
                .try_for_each(|name| std::os::unix::fs::symlink("busybox", programs.join(name)))
        });
    made.map_err(|error| format!("copy {BUSYBOX}: {error}"))?;
    Ok(root)
}

/// A container; removed when dropped.
pub struct Container<'a> {
    docker: &'a Docker,
    /// Its ID.
    pub id: String,
    kept: bool,
}

impl<'a> Container<'a> {
    /// Runs a container in the background: `docker run -d --name NAME ARGUMENTS IMAGE COMMAND`.
    #[must_use]
    pub fn run(docker: &'a Docker, name: &str, arguments: &[&str], command: &[&str]) -> Self {
        let mut all = vec!["run", "--detach", "--name", name];
        all.extend(arguments);
        all.push(IMAGE);
        all.extend(command);
        Self { docker, id: docker.run(&all), kept: false }
    }

    /// A container that was started by other means.
    #[must_use]
    pub const fn adopt(docker: &'a Docker, id: String) -> Self {
        Self { docker, id, kept: false }
    }

    /// Keeps the container until its daemon is dropped, and returns its ID.
    #[must_use]
    pub fn keep(mut self) -> String {
        self.kept = true;
        self.id.clone()
    }

    /// One field of `docker inspect`, in Go's template syntax.
    #[must_use]
    pub fn inspect(&self, template: &str) -> String {
        self.docker.run(&["inspect", "--format", template, &self.id])
    }

    /// The process ID of its first process on the host.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let pid = self.inspect("{{.State.Pid}}");
        pid.parse().unwrap_or_else(|_| panic!("a process number, not {pid}"))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let _ = self.docker.try_run(&["rm", "--force", "--volumes", &self.id]);
        }
    }
}

/// Polls `look` until it returns a value.
///
/// # Panics
/// After `patience`.
pub fn eventually<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// [`eventually`] for a condition without a value.
///
/// # Panics
/// If it does not hold within `patience`.
pub fn wait_until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    eventually(what, patience, || holds().then_some(()));
}

pub(crate) fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}
