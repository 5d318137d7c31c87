//! IP traffic of containers that share the host's network, whose interfaces are everybody's.
//!
//! Kernel half: agent-ebpf/src/probes/host_network.rs, a pair of programs on the container's own v2 cgroup, attached when
//! its first process has been seen in the host's network namespace for half a second. Counted from then on are packets of sockets that were made
//! in the container: IP bytes of both versions, headers included, as the kernel handles them, so that a large transfer
//! has one header in tens of KiB; loopback, too. What is forwarded for others is not. Needs CAP_NET_ADMIN.
//!
//! Cost: nothing where no container shares the host's network; for each that does, a look-up per tick and some 110 ns for
//! each of its packets, by the kernel's own statistics, whose clock is about half of that (6.18).

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use glassbox_ebpf::{host_network::HostNetworkCounters, maps, programs};

use super::{
    Collector, Context, Spec,
    examination::{self, NothingToRead},
};
use crate::{
    containers::{
        cgroup::{Layout, Mode},
        process,
        tracker::Container,
    },
    kernel::{
        Kernel,
        cgroup_links::{CgroupLinks, CgroupProgram},
        privileges,
        slot_array::SlotArray,
    },
    snapshot::ContainerRow,
};

/// The row of the registry.
pub const SPEC: Spec = Spec {
    name: "host_network",
    summary: "IP traffic of containers in the host's network, from programs on their cgroups",
    capabilities: &[&privileges::SYS_PTRACE, &privileges::NET_ADMIN],
    start,
    examine: examination::of_start,
};

/// The pair that counts the packets of one cgroup.
pub const PROGRAMS: [CgroupProgram; 2] = [
    CgroupProgram::Ingress(programs::HOST_NETWORK_INGRESS),
    CgroupProgram::Egress(programs::HOST_NETWORK_EGRESS),
];

/// A container whose processes do not show yet whose network they use is looked at again at so many ticks.
const ATTEMPTS: u8 = 10;
/// A runtime puts a container's first process into the cgroup and only then into its own network: it must still be in
/// the host's after this time.
const SETTLE: Duration = Duration::from_millis(500);

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let layout = context.layout.clone();
    if layout.mode() == Mode::V1 {
        let reason = "find a v2 hierarchy: sockets know their v2 cgroup, and this host has none";
        return Err(NothingToRead(reason).into());
    }
    let proc_root = context.config.paths.proc.clone();
    process::same_namespace(&proc_root)?;
    let kernel = context.kernel()?;
    // Whether it may be, at once and not with the first container: on the root, and off again.
    drop(kernel.attach_to_cgroup(&PROGRAMS, &layout.primary("/"))?);
    let host_namespace = process::host_network_namespace(&proc_root)?;
    Ok(Box::new(Collecting {
        limitation: process::limitation(&layout, &proc_root),
        layout,
        proc_root,
        host_namespace,
        counts: kernel.slot_array(maps::HOST_NETWORK)?,
        containers: HashMap::new(),
        found: Vec::new(),
    }))
}

struct Collecting {
    layout: Layout,
    proc_root: PathBuf,
    host_namespace: u64,
    limitation: Option<String>,
    counts: SlotArray<HostNetworkCounters>,
    containers: HashMap<u64, State>,
    /// Containers in the host's network to which nothing is attached yet, with their cgroups.
    found: Vec<(u64, PathBuf)>,
}

enum State {
    /// Not seen in any network, at so many ticks.
    Unknown(u8),
    /// Seen in the host's network, maybe on its way into another.
    Seen(Instant),
    /// Not the host's network, or nothing could be attached.
    Elsewhere,
    /// In the host's network.
    Found,
    /// Counted.
    Counted { _links: CgroupLinks },
}

impl Collecting {
    /// Whether the container is in the host's network; `None` if no process of it could be looked at.
    fn look(&self, container: &Container) -> anyhow::Result<Option<bool>> {
        let path = &container.identity.cgroup_path;
        let Some(process) = process::any_of(&self.layout, path)? else { return Ok(None) };
        let namespace = match process::network_namespace(&self.proc_root, &process) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(error).with_context(|| {
                    format!("look up the network of process {process} (needs CAP_SYS_PTRACE)")
                });
            }
            Err(_) => return Ok(None),
            Ok(namespace) => namespace,
        };
        // Had the process ended meanwhile, its number could be another's by now.
        let is_member = process::is_member(&self.layout, path, &process);
        Ok(is_member.then_some(namespace == self.host_namespace))
    }
}

impl Collector for Collecting {
    fn refresh(&mut self, kernel: Option<&mut Kernel>) {
        let Some(kernel) = kernel.filter(|_| !self.found.is_empty()) else { return };
        for (key, directory) in self.found.drain(..) {
            let Some(state) = self.containers.get_mut(&key) else { continue };
            *state = match kernel.attach_to_cgroup(&PROGRAMS, &directory) {
                Ok(links) => State::Counted { _links: links },
                Err(error) => {
                    tracing::warn!("leave out the host network of a container: {error:#}");
                    State::Elsewhere
                }
            };
        }
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        match self.containers.get(&container.key) {
            Some(State::Counted { .. }) => {
                row.host_network = Some(self.counts.sum(slot)?);
            }
            Some(State::Elsewhere | State::Found) => {}
            Some(State::Unknown(ATTEMPTS)) => {
                self.containers.insert(container.key, State::Elsewhere);
            }
            known => {
                let (attempts, seen) = match known {
                    Some(State::Unknown(attempts)) => (attempts + 1, None),
                    Some(State::Seen(since)) => (0, Some(*since)),
                    _ => (0, None),
                };
                let state = match (self.look(container)?, seen) {
                    (None, _) => State::Unknown(attempts),
                    (Some(false), _) => State::Elsewhere,
                    (Some(true), None) => State::Seen(Instant::now()),
                    (Some(true), Some(since)) if since.elapsed() < SETTLE => State::Seen(since),
                    (Some(true), Some(_)) => {
                        let directory = self.layout.primary(&container.identity.cgroup_path);
                        self.found.push((container.key, directory));
                        State::Found
                    }
                };
                self.containers.insert(container.key, state);
            }
        }
        Ok(())
    }

    fn limitation(&self) -> Option<&str> {
        self.limitation.as_deref()
    }

    fn forget(&mut self, container: &Container) {
        self.containers.remove(&container.key);
    }

    fn clear_slot(&mut self, slot: u32) {
        self.counts.clear(slot);
    }
}
