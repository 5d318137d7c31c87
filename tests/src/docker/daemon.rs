//! A `dockerd` of the test's own: its data, its state and its socket in one directory. There is one at a time
//! on a host, so that it is known what it has made. When dropped it takes away its processes, mounts, bridge,
//! empty cgroups and files: the host is as it was.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// A bridge of the daemon's own; a name and a network (of those for documentation) that nobody else uses.
const BRIDGE: &str = "glassbox-test0";
const BRIDGE_ADDRESS: &str = "198.51.100.1";
/// A file that is always there, by which tests of all processes wait for each other.
const LOCK: &str = super::BUSYBOX;

/// One such test at a time: waits until no other has a daemon. The turn lasts as long as the file is open.
pub(crate) fn turn() -> Result<fs::File, String> {
    let turn = fs::File::open(LOCK).and_then(|file| file.lock().map(|()| file));
    turn.map_err(|error| format!("lock {LOCK}: {error}"))
}

/// What containers are connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    None,
    /// A bridge on which they reach the host, without packet filter rules or forwarding.
    Bridge,
}

/// The daemon.
pub struct Daemon {
    directory: tempfile::TempDir,
    network: Network,
    process: Child,
    /// What was not there before and is to be taken away.
    made: Vec<PathBuf>,
    /// Locked for as long as there is a daemon; the last to be dropped.
    _turn: fs::File,
}

impl Daemon {
    /// # Errors
    /// Why there can be none: a reason to skip.
    pub(super) fn start(network: Network) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let turn = turn()?;
        let made = possibly_made().into_iter().filter(|path| !path.exists()).collect();
        if network == Network::Bridge {
            make_bridge()?;
        }
        let process = spawn(directory.path(), network);
        let process = process.inspect_err(|_| remove_bridge(network))?;
        let mut daemon = Self { directory, network, process, made, _turn: turn };
        daemon.wait_until_it_answers()?;
        Ok(daemon)
    }

    /// Its API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The host's address as containers on the bridge see it.
    #[must_use]
    pub const fn host_address() -> &'static str {
        BRIDGE_ADDRESS
    }

    /// Kills the daemon as a crash would. Its containers run on.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(self.socket());
        // Its containerd ends with it. The number left in the file would be waited for, if another process
        // has it.
        let _ = fs::remove_file(self.directory.path().join("exec/containerd/containerd.pid"));
    }

    /// Starts it again after [`kill`](Self::kill).
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        let begun = spawn(self.directory.path(), self.network);
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
            if ended || begun.elapsed() > START_PATIENCE {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it said nothing").to_owned();
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
        while begun.elapsed() < STOP_PATIENCE && self.process.try_wait().is_ok_and(|status| status.is_none())
        {
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
        unmount_below(self.directory.path());
        remove_bridge(self.network);
        for path in self.made.iter().filter(|path| path.is_dir()) {
            // A cgroup's files do not keep its directory; of others, only what a daemon is known to leave
            // goes.
            for left in ["key.json", "s"].map(|name| path.join(name)) {
                let _ = if left.is_dir() { fs::remove_dir_all(left) } else { fs::remove_file(left) };
            }
            // The kernel lets go of a cgroup a moment after its last process.
            let begun = Instant::now();
            while path.is_dir() && begun.elapsed() < Duration::from_secs(2) {
                remove_empty(path);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn spawn(directory: &Path, network: Network) -> Result<Child, String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let log = fs::File::options().create(true).append(true).open(directory.join("log"));
    let log = log.map_err(|error| format!("open a log: {error}"))?;
    let bridge = if network == Network::Bridge { BRIDGE } else { "none" };
    let spawned = Command::new("dockerd")
        .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
        .arg(format!("--host=unix://{}", path("docker.sock")))
        .arg(format!("--bridge={bridge}"))
        .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"])
        .args(["--live-restore"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    spawned.map_err(|error| format!("run dockerd: {error}"))
}

/// What a daemon makes outside of its directory.
fn possibly_made() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        ["/etc/docker", "/run/docker", "/run/containerd"].map(PathBuf::from).to_vec();
    paths.push("/sys/fs/cgroup/docker".into());
    let trees = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    paths.extend(
        trees.map(|tree| tree.path().join("docker")).filter(|path| path.parent().is_some_and(Path::is_dir)),
    );
    paths
}

pub(crate) fn remove_empty(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

/// Ends what outlives a daemon that was killed: shims, which were started with a path in `directory`, and
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
        if left.is_empty() || begun.elapsed() > STOP_PATIENCE {
            return;
        }
        for pid in left {
            signal(pid, libc::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes in the cgroups of the containers that a daemon with its data in `directory` has made.
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

pub(crate) fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| Path::new(point).starts_with(directory));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        if let Ok(point) = CString::new(point) {
            // SAFETY: a NUL-terminated path that lives through the call.
            unsafe { libc::umount2(point.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

fn make_bridge() -> Result<(), String> {
    let ip = |arguments: &[&str]| {
        let output =
            Command::new("ip").args(arguments).output().map_err(|error| format!("run ip: {error}"))?;
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("ip {}: {}", arguments.join(" "), told.trim()))
        }
    };
    // The lock is held, so one that is there was left behind by a test that was killed.
    remove_bridge(Network::Bridge);
    ip(&["link", "add", "name", BRIDGE, "type", "bridge"])?;
    let up = ip(&["address", "add", &format!("{BRIDGE_ADDRESS}/24"), "dev", BRIDGE])
        .and_then(|()| ip(&["link", "set", BRIDGE, "up"]));
    up.inspect_err(|_| remove_bridge(Network::Bridge))
}

fn remove_bridge(network: Network) {
    if network == Network::Bridge {
        let _ = Command::new("ip").args(["link", "delete", BRIDGE]).output();
    }
}

pub(crate) fn signal(pid: i32, signal: i32) {
    if pid > 1 {
        // SAFETY: no pointers.
        unsafe { libc::kill(pid, signal) };
    }
}
