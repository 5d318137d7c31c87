//! The unit's restrictions: they disable no collector, and they are in force.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    process::{Child, Command},
};

use glassbox_fixtures::exposition::Scrape;
use glassbox_tests::cgroup::{self, Cgroup};

use super::service::{self, Service};

/// The only file that the unit may write.
const KPROBES: &str = "/sys/kernel/tracing/kprobe_events";

/// An agent that runs as root without the unit. It is killed when dropped.
struct Unrestricted(Child);

impl Unrestricted {
    const PORT: u16 = 9967;

    fn start() -> Self {
        let mut command = Command::new("/usr/bin/glassbox");
        command.args(["run", "--listen", &format!("127.0.0.1:{}", Self::PORT), "--log", "error"]);
        let agent = Self(command.spawn().unwrap());
        service::wait("an agent without restrictions is ready", || {
            let address = ([127, 0, 0, 1], Self::PORT).into();
            glassbox_tests::http::get(address, "/readyz").is_ok_and(|answer| answer.status == 200)
        });
        agent
    }
}

impl Drop for Unrestricted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The collectors that work, and the programs that are attached with their hooks.
fn abilities(scrape: &Scrape) -> BTreeSet<String> {
    let samples = ["glassbox_collector_up", "glassbox_probe_attached"];
    let samples = scrape.samples().filter(|sample| samples.contains(&sample.name.as_str()));
    samples.filter(|sample| sample.value > 0.0).map(|sample| format!("{:?}", sample.labels)).collect()
}

/// The values of a line of a process's status.
fn status(pid: i32, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_unit_measures_as_much_as_root_without_restrictions() {
    let Some(service) = Service::installed("the_unit_measures_as_much_as_root_without_restrictions") else {
        return;
    };
    // The mode of Docker's socket. Only root and its group may connect.
    let socket = UnixListener::bind("/run/docker.sock").unwrap();
    socket.set_nonblocking(true).unwrap();
    fs::set_permissions("/run/docker.sock", fs::Permissions::from_mode(0o660)).unwrap();
    // This command has the user and the restrictions of the agent. Opening the file does not change it.
    service.start(&format!("ExecStartPre=/bin/sh -c 'exec 3>>{KPROBES}'"));
    service::wait("the agent connects to Docker", || socket.accept().is_ok());
    fs::remove_file("/run/docker.sock").unwrap();

    let container = Cgroup::container(&cgroup::v2_root().unwrap());
    let (container, id) = container.unwrap();
    let mut process = Command::new("sleep").arg("600").spawn().unwrap();
    container.enter(process.id().cast_signed()).unwrap();
    service::wait("the container has metrics of files and of programs", || {
        let scrape = service.metrics();
        ["container_processes", "glassbox_container_context_switches_total"]
            .iter()
            .all(|family| service::is_positive(&scrape, family, "container", &id[..12]))
    });
    process.kill().unwrap();
    process.wait().unwrap();

    let restricted = abilities(&service.metrics());
    let _root = Unrestricted::start();
    let unrestricted = abilities(&service::metrics(Unrestricted::PORT));
    println!("{}", restricted.iter().map(String::as_str).collect::<Vec<_>>().join("\n"));
    assert_eq!(restricted, unrestricted);
    assert!(restricted.iter().any(|ability| ability.contains("scheduler")), "{restricted:?}");

    let pid = service.pid();
    assert!(status(pid, "Uid").iter().all(|uid| uid != "0"), "{:?}", status(pid, "Uid"));
    assert_eq!(status(pid, "NoNewPrivs"), ["1"]);
    assert_eq!(status(pid, "Seccomp"), ["2"]);
    let bounding = u64::from_str_radix(&status(pid, "CapBnd")[0], 16).unwrap();
    // CAP_DAC_OVERRIDE, DAC_READ_SEARCH, NET_ADMIN, SYS_PTRACE, PERFMON and BPF.
    let permitted = [1, 2, 12, 19, 38, 39].iter().fold(0, |mask, bit| mask | 1_u64 << bit);
    assert_eq!(bounding & !permitted, 0, "{bounding:x}");
}

#[test]
fn the_agents_user_can_change_no_file_of_the_system() {
    let Some(_service) = Service::installed("the_agents_user_can_change_no_file_of_the_system") else {
        return;
    };
    for path in ["/etc/passwd", "/var/lib/dpkg/status", "/usr/bin/glassbox", "/sys/fs/cgroup/cgroup.procs"] {
        service::change(&format!("ExecStartPre=/bin/sh -c 'exec 3>>{path}'\nRestart=no"));
        let started = Command::new("systemctl").args(["start", "glassbox"]).output().unwrap();
        assert!(!started.status.success(), "{path} can be opened for writing");
        assert_eq!(service::property("Result"), "exit-code", "{path}");
    }
    assert!(service::journal().contains("Read-only file system"), "{}", service::journal());
}

#[test]
fn the_agent_starts_without_the_capability_to_write() {
    let Some(service) = Service::installed("the_agent_starts_without_the_capability_to_write") else {
        return;
    };
    // As in docs/security.md.
    service.start("CapabilityBoundingSet=~CAP_DAC_OVERRIDE\nAmbientCapabilities=~CAP_DAC_OVERRIDE");
    let effective = u64::from_str_radix(&status(service.pid(), "CapEff")[0], 16).unwrap();
    assert_eq!(effective & 1 << 1, 0, "{effective:x}");
    let scrape = service.metrics();
    let up = |name| service::is_positive(&scrape, "glassbox_collector_up", "collector", name);
    assert!(up("scheduler") && up("sockets") && up("cgroup"));
}
