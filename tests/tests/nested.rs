//! The networks of a container and of one inside it, as with a Kubernetes node in a container. Needs root.

#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use glassbox::{
    config::{self, Config},
    containers::metadata::MetadataStore,
    snapshot::ContainerRow,
    tick::{Engine, Snapshots},
};
use glassbox_tests::{
    cgroup::{Cgroup, fresh_id, v2_root},
    skip,
};

const PODS: &str = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice";
/// Creates a pair of interfaces in a container's own network.
const INTERFACE: &str = "if [ \"$0\" != host ]; then ip link add \"${0}0\" type veth peer name \"${0}1\"; fi; \
                         echo ready > \"$1\"; exec sleep 120";

/// A process in its own network with two interfaces, or in the host's.
struct Process {
    child: Child,
}

impl Process {
    fn start(network: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let mut command = if network == "host" {
            Command::new("sh")
        } else {
            let mut command = Command::new("unshare");
            command.args(["-n", "sh"]);
            command
        };
        command.args(["-c", INTERFACE, network, path]).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let begun = Instant::now();
        while std::fs::read(path).unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{network} is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child }
    }

    fn enter(&self, cgroup: &Cgroup) {
        cgroup.enter(i32::try_from(self.child.id()).unwrap()).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reason_to_skip() -> Option<&'static str> {
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    match (root, v2_root(), has("ip") && has("unshare")) {
        (true, Some(_), true) => None,
        (false, ..) => Some("needs root"),
        (_, None, _) => Some("needs a v2 hierarchy"),
        (.., false) => Some("needs ip (iproute2) and unshare (util-linux)"),
    }
}

fn rows(snapshots: &Snapshots, ids: [&str; 2]) -> [ContainerRow; 2] {
    let snapshot = snapshots.borrow().clone().unwrap();
    ids.map(|id| snapshot.containers.iter().find(|row| row.identity.id == id).cloned().expect("its row"))
}

fn interfaces(row: &ContainerRow) -> Vec<&str> {
    let mut names: Vec<_> = row.network.iter().map(|interface| interface.interface.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn each_container_has_its_own_network_in_either_order() {
    if let Some(reason) = reason_to_skip() {
        return skip("each_container_has_its_own_network_in_either_order", reason);
    }
    let root = v2_root().unwrap();
    for agent_first in [false, true] {
        for outer_network in ["outer", "host"] {
            let (outer_id, inner_id) = (fresh_id(), fresh_id());
            let (outer_process, inner_process) = (Process::start(outer_network), Process::start("inner"));
            let start = || {
                let config = Config { docker: config::Docker::off(), ..Config::default() };
                let (mut engine, snapshots) = Engine::start(config, MetadataStore::new()).unwrap();
                engine.tick();
                (engine, snapshots)
            };
            let agent = agent_first.then(start);
            let outer: PathBuf = ["docker", &outer_id].iter().collect();
            let outer = Cgroup::new(&root, outer.to_str().unwrap()).unwrap();
            let init = Cgroup::new(outer.path(), "init.scope").unwrap();
            let inner =
                Cgroup::new(outer.path(), &format!("{PODS}/cri-containerd-{inner_id}.scope")).unwrap();
            // The inner one first: the outer container has no process of its own for a while.
            inner_process.enter(&inner);
            let (mut engine, snapshots) = agent.unwrap_or_else(start);
            engine.tick();
            outer_process.enter(&init);
            // Ticks until it is discovered, confirmed in the host's network, attached and read.
            for _ in 0..25 {
                std::thread::sleep(Duration::from_millis(50));
                engine.tick();
            }
            let [outer_row, inner_row] = rows(&snapshots, [&outer_id, &inner_id]);
            let case = format!("agent first: {agent_first}, outer in {outer_network}");
            assert_eq!(interfaces(&inner_row), ["inner0", "inner1"], "{case}");
            assert!(inner_row.host_network.is_none(), "{case}");
            if outer_network == "host" {
                assert!(interfaces(&outer_row).is_empty(), "{case}: {:?}", interfaces(&outer_row));
                assert!(outer_row.host_network.is_some(), "{case}");
            } else {
                assert_eq!(interfaces(&outer_row), ["outer0", "outer1"], "{case}");
                assert!(outer_row.host_network.is_none(), "{case}");
            }
            drop((outer_process, inner_process));
        }
    }
}
