//! A Podman service for one test. Its storage, state and socket are in one directory, its locks, network and mounts in a
//! sandbox. When dropped, its containers, processes and cgroups are removed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{
    cgroup::SubtreeControl,
    docker::{
        IMAGE,
        daemon::{end_leftovers, remove_empty, turn},
        is_root, programs,
    },
    sandbox::Sandbox,
};

const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The parent cgroup of all its containers. Podman's default, `libpod_parent`, may be in use on the host.
const CGROUP: &str = "glassbox-test-podman";

/// The service.
pub struct Podman {
    directory: tempfile::TempDir,
    service: Option<Child>,
    sandbox: Sandbox,
    _controllers: SubtreeControl,
    /// Only one such test runs at a time, as with Docker. This field must be dropped last.
    _turn: fs::File,
}

impl Podman {
    /// # Errors
    /// The reason to skip the test.
    pub fn start() -> Result<Self, String> {
        if !is_root() {
            return Err("not root".into());
        }
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let turn = turn()?;
        let sandbox = Sandbox::new(directory.path())?;
        let controllers = SubtreeControl::of_the_host();
        let mut podman = Self { directory, service: None, sandbox, _controllers: controllers, _turn: turn };
        podman.import_image()?;
        let mut service = podman.command();
        let socket = format!("unix://{}", podman.socket().display());
        let service = service.args(["system", "service", "--time=0", &socket]);
        let service = service.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        podman.service = Some(service.map_err(|error| format!("run podman: {error}"))?);
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(podman.socket()).is_err() {
            if begun.elapsed() > START_TIMEOUT {
                return Err("podman does not listen here".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(podman)
    }

    /// The socket of its API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("podman.sock")
    }

    /// The directory of its containers.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.path("data")
    }

    /// Runs a container in the background and returns its ID.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn run(&self, name: &str, arguments: &[&str], command: &[&str]) -> Result<String, String> {
        // Podman's defaults may be above the host's limits.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        let mut all = vec!["run", "--detach", "--name", name, "--network", "none"];
        all.extend(limits);
        let parent = format!("--cgroup-parent=/{CGROUP}");
        all.push(&parent);
        all.extend(arguments);
        all.push(IMAGE);
        all.extend(command);
        self.podman(&all)
    }

    /// Runs `podman` and returns its output.
    ///
    /// # Errors
    /// The error output of `podman`.
    pub fn podman(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command().args(arguments).output();
        output_of("podman", &output.map_err(|error| format!("run podman: {error}"))?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = self.sandbox.command("podman");
        let of = |option: &str, name: &str| format!("--{option}={}", self.path(name).display());
        command.args([of("root", "data"), of("runroot", "run"), of("tmpdir", "tmp")]);
        // Options that need neither systemd nor a pure cgroup hierarchy; crun refuses hybrid hosts.
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]);
        command.args(["--runtime=runc", "--log-level=error"]).stdin(Stdio::null());
        command
    }

    fn import_image(&self) -> Result<(), String> {
        let root = programs()?;
        let archive = self.path("image.tar");
        let tar = Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(&archive).arg(".").output();
        output_of("tar", &tar.map_err(|error| format!("run tar: {error}"))?)?;
        self.podman(&["import", &archive.display().to_string(), IMAGE]).map(drop)
    }
}

/// The output of a command, or its error.
pub(crate) fn output_of(name: &str, output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}", text.trim().lines().last().unwrap_or("no output")))
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.podman(&["rm", "--all", "--force", "--time=0"]);
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
        // Its monitors have its directory among their arguments.
        end_leftovers(self.directory.path());
        remove_cgroups(CGROUP);
    }
}

/// Removes the cgroups of this name, and the empty ones below, in every hierarchy.
pub(crate) fn remove_cgroups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let trees = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let found: Vec<_> =
        trees.chain([root.to_owned()]).map(|tree| tree.join(name)).filter(|path| path.is_dir()).collect();
    for cgroup in found {
        // The kernel releases a cgroup a moment after its last process.
        let begun = Instant::now();
        while cgroup.is_dir() && begun.elapsed() < Duration::from_secs(2) {
            remove_empty(&cgroup);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
