//! A Docker daemon of the test's own and its containers. The host's daemon is never used, and neither it nor its network
//! is touched.

pub(crate) mod daemon;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

pub use self::daemon::{Daemon, Network};

/// The image of all test containers: busybox alone.
pub const IMAGE: &str = "glassbox-tests:1";
const BUSYBOX: &str = "/bin/busybox";

/// Arguments of `docker run` for a container that shares the host's network, as `--network=host` of a daemon of the host
/// does. Without the runtime it would share its daemon's, which is a sandbox's.
pub const HOST_NETWORK: [&str; 2] = ["--network=host", "--runtime=in-the-hosts-network"];

/// A daemon that answers.
pub struct Docker {
    socket: PathBuf,
    daemon: Daemon,
}

impl Docker {
    /// Starts a daemon of the test's own.
    ///
    /// # Errors
    /// Why that cannot be: a reason to skip.
    pub fn own(network: Network) -> Result<Self, String> {
        if !is_root() {
            return Err("not root".into());
        }
        let daemon = Daemon::start(network)?;
        let docker = Self { socket: daemon.socket(), daemon };
        docker.import_image()?;
        Ok(docker)
    }

    /// Starts the daemon of somebody else: in a sandbox that takes the host's place, with `docker0` as Docker comes. Tests
    /// that run [in that sandbox](crate::sandbox::Sandbox::as_the_host) may start daemons of their own beside it.
    ///
    /// # Errors
    /// Why that cannot be: a reason to skip.
    pub fn foreign() -> Result<Self, String> {
        Self::own(Network::Docker0)
    }

    /// Its API's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The daemon, to be killed and restarted.
    pub const fn daemon_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Runs the `docker` command and returns what it printed.
    ///
    /// # Panics
    /// When the command fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments).unwrap_or_else(|error| panic!("run docker: {error}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {}: {told}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs the `docker` command, which may fail.
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

/// The files of the image: this host's busybox, which Debian's `busybox-static` has linked statically, under some of its
/// names.
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
    /// Its id.
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

    /// Lets it live until its daemon is dropped, and returns its id.
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

    /// The host's number of its first process.
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

/// Waits until `look` sees something.
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

pub(crate) fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}
