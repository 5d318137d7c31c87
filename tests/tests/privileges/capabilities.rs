//! The table of capabilities in docs/security.md: the agent runs once with each one removed. Exactly the documented parts
//! stop to work, and the agent names the missing capability and the remedy.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixListener,
        process::CommandExt as _,
    },
    process::{Command, Output},
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::{Agent, binary},
    process_container::ProcessContainer,
    repository::in_repository,
    skip,
};

/// A user other than root.
const NOBODY: u32 = 65_534;
/// Time for the parts of an agent to start to work, or to report why not.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bits to remove, because several capabilities include others.
const REMOVED: [(&str, &[u32]); 7] = [
    ("CAP_BPF", &[39, 21]),
    ("CAP_PERFMON", &[38, 21]),
    ("CAP_SYS_PTRACE", &[19]),
    ("CAP_DAC_READ_SEARCH", &[2, 1]),
    ("CAP_NET_ADMIN", &[12, 21]),
    ("CAP_SYS_ADMIN", &[21]),
    ("CAP_DAC_OVERRIDE", &[1]),
];

/// A row of the table.
#[derive(Debug)]
struct Row {
    is_required: bool,
    /// The collectors that are down without the capability.
    down: BTreeSet<String>,
}

fn documented() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(in_repository("docs/security.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, need, .., down] = cells[..] else { panic!("{line}") };
        let down = down.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (name.to_owned(), Row { is_required: need == "required", down })
    };
    text.lines().filter(|line| line.starts_with("| CAP_")).map(row).collect()
}

/// What works in an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observed {
    down: BTreeSet<String>,
    /// The container's name, from a file in a directory that only another user may read.
    has_name: bool,
    /// The run time of kernel programs.
    has_statistics: bool,
    /// A connection to a socket of another user.
    is_connected: bool,
}

/// Files and a socket of another user, and a container.
struct Setup {
    directory: tempfile::TempDir,
    _container: ProcessContainer,
    listener: UnixListener,
    /// Whether the present agent has connected to the socket.
    is_connected: Cell<bool>,
}

impl Setup {
    fn new() -> Result<Self, String> {
        let container = ProcessContainer::new()?;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("docker/containers").join(&container.id).join("config.v2.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, r#"{"Name":"/named","Config":{"Image":"web:1"}}"#).unwrap();
        let socket = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        for (path, mode) in [(directory.path().join("docker/containers"), 0o700), (socket, 0o600)] {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Ok(Self { directory, _container: container, listener, is_connected: Cell::new(false) })
    }

    fn agent(&self, removed: &'static [u32]) -> Agent {
        let path = |name: &str| self.directory.path().join(name);
        let configuration = format!(
            "tick_ms = 200\n[kernel]\nprogram_stats = \"always\"\n[docker]\nsocket = \"/nonexistent/docker.sock\"\n\
             extra_sockets = [{:?}]\n[podman]\nsockets = []\n[containerd]\nsockets = []\n[cri]\nsockets = []\n[paths]\ndocker = {:?}\n",
            path("docker.sock"),
            path("docker"),
        );
        // Connections of an earlier agent.
        while self.listener.accept().is_ok() {}
        self.is_connected.set(false);
        Agent::start_with(&configuration, |command| remove(command, removed))
    }

    fn observe(&self, agent: &Agent) -> Observed {
        let metrics = agent.metrics();
        let up = metrics.lines().filter_map(|line| line.strip_prefix("glassbox_collector_up{collector=\""));
        let down = up.filter_map(|line| line.strip_suffix("\"} 0")).map(str::to_owned).collect();
        if self.listener.accept().is_ok() {
            self.is_connected.set(true);
        }
        Observed {
            down,
            has_name: metrics.contains("container=\"named\""),
            has_statistics: metrics.contains("glassbox_probe_runs_total{"),
            is_connected: self.is_connected.get(),
        }
    }
}

/// Removes capabilities from the bounding set of a command, and so from everything that it executes.
fn remove(command: &mut Command, bits: &'static [u32]) {
    // SAFETY: between fork and exec, calls are made that are async-signal-safe and take no pointers.
    unsafe {
        command.pre_exec(move || {
            for bit in bits {
                if libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(*bit), 0, 0, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// Waits until the observation is the expected one.
fn eventually(what: &str, expected: &Observed, observe: impl Fn() -> Observed) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let observed = observe();
        if observed == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {observed:?} instead of {expected:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn without_a_capability_exactly_the_documented_parts_stop_and_the_agent_names_it_with_the_remedy() {
    let test =
        "without_a_capability_exactly_the_documented_parts_stop_and_the_agent_names_it_with_the_remedy";
    let setup = match Setup::new() {
        Ok(setup) => setup,
        Err(reason) => return skip(test, &reason),
    };
    let rows = documented();
    let names: BTreeSet<&str> =
        REMOVED.iter().map(|(name, _)| *name).chain(["CAP_NET_BIND_SERVICE"]).collect();
    assert_eq!(rows.keys().map(String::as_str).collect::<BTreeSet<_>>(), names, "capabilities in the table");

    let working =
        Observed { down: BTreeSet::new(), has_name: true, has_statistics: true, is_connected: true };
    let agent = setup.agent(&[]);
    eventually("with all capabilities", &working, || setup.observe(&agent));
    assert!(!agent.log().contains("missing; "), "{}", agent.log());
    drop(agent);

    for (name, bits) in REMOVED {
        let row = &rows[name];
        let has_programs = !matches!(name, "CAP_BPF" | "CAP_PERFMON");
        let expected = Observed {
            down: row.down.clone(),
            has_name: name != "CAP_DAC_READ_SEARCH",
            // Others include SYS_ADMIN.
            has_statistics: has_programs && !bits.contains(&21),
            is_connected: !bits.contains(&1),
        };
        let agent = setup.agent(bits);
        eventually(name, &expected, || setup.observe(&agent));
        let (metrics, log) = (agent.metrics(), agent.log());
        let need = if row.is_required { "required" } else { "optional" };
        let line = format!("glassbox_agent_capability{{capability=\"{name}\",need=\"{need}\"}} 0");
        assert!(metrics.lines().any(|found| found == line), "{line}");
        let lack =
            log.lines().find(|line| line.contains("WARN") && line.contains(&format!("{name} is missing; ")));
        assert_eq!(lack.is_some(), row.is_required, "{log}");
        // The remedy depends on how the test was started.
        let remedies = ["start glassbox under the systemd unit", "--cap-add "];
        assert!(lack.is_none_or(|line| remedies.iter().any(|remedy| line.contains(remedy))), "{lack:?}");
        let others = metrics.lines().filter(|line| line.starts_with("glassbox_agent_capability{"));
        let missing: Vec<_> =
            others.filter(|line| line.ends_with(" 0") && line.contains("\"required\"")).collect();
        assert_eq!(missing.len(), usize::from(row.is_required), "{missing:?}");
    }
}

/// The output of an agent that exits at once.
fn output(arguments: &[&str], bits: &'static [u32]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments);
    remove(&mut command, bits);
    command.output().unwrap()
}

#[test]
fn a_port_below_1024_needs_a_capability_which_is_kept_only_for_it() {
    let test = "a_port_below_1024_needs_a_capability_which_is_kept_only_for_it";
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if ProcessContainer::new().is_err() || first.trim() != "1024" {
        return skip(test, "needs root, and a host on which ports below 1024 are privileged");
    }
    let refused = output(&["run", "--listen", "127.0.0.1:979"], &[10]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("require CAP_NET_BIND_SERVICE; choose a higher port"), "{text}");
}
