//! A `dockerd` for one test. Its data, state and socket are in one directory, its network and mounts in a sandbox. Only one
//! runs at a time on a host. When dropped, its processes, cgroups and files are removed.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{cgroup::SubtreeControl, podman::remove_cgroups, sandbox::Sandbox};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// A bridge in the sandbox. Its addresses are from a range for documentation.
const BRIDGE: &str = "glassbox-test0";
const BRIDGE_ADDRESS: &str = "198.51.100.1";
/// A file that always exists. Tests of all processes lock it to wait for each other.
const LOCK: &str = super::BUSYBOX;

/// Waits until no other test has a daemon. The lock is held as long as the file is open.
pub(crate) fn turn() -> Result<fs::File, String> {
    let turn = fs::File::open(LOCK).and_then(|file| file.lock().map(|()| file));
    turn.map_err(|error| format!("lock {LOCK}: {error}"))
}

/// The network of the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// No network.
    None,
    /// A bridge to the sandbox's network, without packet filter rules and forwarding.
    Bridge,
    /// `docker0` with packet filter rules, if this kernel has them: the default of a host's daemon. Other test daemons do
    /// not wait for this one.
    Docker0,
}

impl Network {
    /// The parent cgroup of all containers. The agent recognizes containers below `docker` by their path.
    const fn cgroup(self) -> &'static str {
        match self {
            Self::None | Self::Bridge => "glassbox-test-docker",
            Self::Docker0 => "glassbox-test-foreign",
        }
    }

    /// The arguments of `dockerd`.
    fn arguments(self, sandbox: &Sandbox) -> Vec<String> {
        let without_filter =
            ["--iptables=false", "--ip6tables=false", "--ip-masq=false"].map(str::to_owned).to_vec();
        let private = |bridge: &str| {
            let bridge = [format!("--bridge={bridge}"), "--ip-forward=false".into()];
            bridge.into_iter().chain(without_filter.clone()).collect()
        };
        match self {
            Self::None => private("none"),
            Self::Bridge => private(BRIDGE),
            Self::Docker0 => {
                let filter = sandbox.command("iptables").args(["--table=nat", "--list-rules"]).output();
                if filter.is_ok_and(|output| output.status.success()) { Vec::new() } else { without_filter }
            }
        }
    }
}

/// The daemon.
pub struct Daemon {
    directory: tempfile::TempDir,
    network: Network,
    process: Child,
    sandbox: Sandbox,
    _controllers: SubtreeControl,
    /// The lock of [`turn`]. This field must be dropped last.
    _turn: Option<fs::File>,
}

impl Daemon {
    /// # Errors
    /// The reason to skip the test.
    pub(super) fn start(network: Network) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let turn = if network == Network::Docker0 { None } else { Some(turn()?) };
        let sandbox = Sandbox::new(directory.path())?;
        if network == Network::Bridge {
            make_bridge(&sandbox)?;
        }
        let controllers = SubtreeControl::of_the_host();
        let process = spawn(&sandbox, directory.path(), network)?;
        let mut daemon =
            Self { directory, network, process, sandbox, _controllers: controllers, _turn: turn };
        daemon.wait_until_it_answers()?;
        Ok(daemon)
    }

    /// The socket of its API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The sandbox with its network and mounts.
    #[must_use]
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The address of the bridge, at which containers reach the sandbox. Listen on it [within](Sandbox::within) the sandbox.
    #[must_use]
    pub const fn bridge_address() -> &'static str {
        BRIDGE_ADDRESS
    }

    /// Kills the daemon with SIGKILL. Its containers continue to run.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(self.socket());
        // Its containerd ends with it. If another process has reused the number in the PID file, the next daemon would wait
        // for that process.
        let _ = fs::remove_file(self.directory.path().join("exec/containerd/containerd.pid"));
    }

    /// Starts the daemon again after [`kill`](Self::kill).
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        let begun = spawn(&self.sandbox, self.directory.path(), self.network);
        self.process = begun.unwrap_or_else(|reason| panic!("restart dockerd: {reason}"));
        self.wait_until_it_answers().unwrap_or_else(|reason| panic!("restart dockerd: {reason}"));
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let host = format!("unix://{}", self.socket().display());
            let asked = Command::new("docker").args(["--host", &host, "version"]).output();
            let asked = asked.map_err(|error| format!("run docker: {error}"))?;
            if asked.status.success() {
                return Ok(());
            }
            let ended = self.process.try_wait().is_ok_and(|status| status.is_some());
            if ended || begun.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("no output").to_owned();
                return Err(format!("dockerd does not start here: {last}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        let host = format!("unix://{}", self.socket().display());
        let docker =
            |arguments: &[&str]| Command::new("docker").args(["--host", &host]).args(arguments).output();
        if let Ok(containers) = docker(&["ps", "--all", "--quiet", "--no-trunc"]) {
            let containers = String::from_utf8_lossy(&containers.stdout).into_owned();
            let mut remove = vec!["rm", "--force", "--volumes"];
            remove.extend(containers.split_whitespace());
            let _ = docker(&remove);
        }
        signal(i32::try_from(self.process.id()).unwrap_or(0), libc::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < STOP_TIMEOUT && self.process.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        end_leftovers(self.directory.path());
        remove_cgroups(self.network.cgroup());
    }
}

fn spawn(sandbox: &Sandbox, directory: &Path, network: Network) -> Result<Child, String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let log = fs::File::options().create(true).append(true).open(directory.join("log"));
    let log = log.map_err(|error| format!("open a log: {error}"))?;
    let runtime = write_runtime(sandbox, directory)?;
    let spawned = sandbox
        .command("dockerd")
        .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
        .arg(format!("--host=unix://{}", path("docker.sock")))
        .args(network.arguments(sandbox))
        .arg("--live-restore")
        .arg(format!("--add-runtime=in-the-hosts-network={}", runtime.display()))
        // Independent of the host's systemd, and below a cgroup of its own.
        .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent"])
        .arg(format!("/{}/docker", network.cgroup()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    spawned.map_err(|error| format!("run dockerd: {error}"))
}

/// Writes a runtime that starts containers from the host's network namespace. Containers without a network of their own then
/// share the host's.
pub(crate) fn write_runtime(sandbox: &Sandbox, directory: &Path) -> Result<PathBuf, String> {
    let file = directory.join("in-the-hosts-network");
    let network = sandbox.outside_network();
    let network = network.display();
    // Docker writes the path of its network namespace into the bundle. Other daemons write none, so nsenter provides it.
    let script = format!(
        "#!/bin/sh\nfor bundle in \"$@\"; do\n\
         [ ! -f \"$bundle/config.json\" ] || sed -i 's#\"[^\"]*/netns/default\"#\"{network}\"#' \"$bundle/config.json\"\n\
         done\nexec nsenter --net={network} runc \"$@\"\n"
    );
    let written =
        fs::write(&file, script).and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o755)));
    written.map(|()| file).map_err(|error| format!("write a runtime: {error}"))
}

pub(crate) fn remove_empty(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

/// Kills processes that outlive a killed daemon: shims, which have a path in `directory` among their arguments, and
/// containers.
pub(crate) fn end_leftovers(directory: &Path) {
    let mark = directory.display().to_string();
    let begun = Instant::now();
    loop {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut left: Vec<i32> = all
            .filter(|pid| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).contains(&mark)
            })
            .collect();
        left.extend(processes_of_containers(directory));
        if left.is_empty() || begun.elapsed() > STOP_TIMEOUT {
            return;
        }
        for pid in left {
            signal(pid, libc::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes in the cgroups of the containers of the daemon that has its data in `directory`.
fn processes_of_containers(directory: &Path) -> Vec<i32> {
    let containers = fs::read_dir(directory.join("data/containers")).into_iter().flatten().flatten();
    let ids: Vec<String> = containers.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let Ok(layout) = glassbox::containers::cgroup::Layout::detect(Path::new("/sys/fs/cgroup")) else {
        return Vec::new();
    };
    let walk = glassbox::containers::cgroup::walk(&layout).unwrap_or_default();
    let ours = walk.found.iter().filter(|found| ids.contains(&found.container));
    let lists =
        ours.filter_map(|found| fs::read_to_string(layout.primary(&found.path).join("cgroup.procs")).ok());
    lists.flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>()).collect()
}

fn make_bridge(sandbox: &Sandbox) -> Result<(), String> {
    let ip = |arguments: &[&str]| {
        let output = sandbox.command("ip").args(arguments).output();
        let output = output.map_err(|error| format!("run ip: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("ip {}: {}", arguments.join(" "), text.trim()))
        }
    };
    ip(&["link", "add", "name", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", &format!("{BRIDGE_ADDRESS}/24"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])
}

pub(crate) fn signal(pid: i32, signal: i32) {
    if pid > 1 {
        // SAFETY: no pointers.
        unsafe { libc::kill(pid, signal) };
    }
}
