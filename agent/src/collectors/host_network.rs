//! IP traffic of containers on the host's network, which have no interfaces of their own.
//!
//! Kernel half: agent-ebpf/src/probes/host_network.rs, a pair of programs on the container's own v2 cgroup. They are
//! attached when the container's first process has been in the host's network namespace for half a second. From then on
//! they count packets of sockets that were created in the container: IP bytes of both versions, including headers and
//! loopback traffic, as the kernel handles them, so a large transfer has one header per tens of KiB. Forwarded packets
//! are not counted. Needs CAP_NET_ADMIN.
//!
//! Cost: nothing if no container is on the host's network. For each container that is, one map lookup per tick and
//! about 110 ns per packet according to the kernel's program statistics, which cause about half of this time themselves
//! (6.18).

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

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "host_network",
    summary: "IP traffic of containers in the host's network, from programs on their cgroups",
    capabilities: &[&privileges::SYS_PTRACE, &privileges::NET_ADMIN],
    needs: &[],
    start,
    examine: examination::of_start,
};

/// The pair of programs that counts the packets of one cgroup.
pub const PROGRAMS: [CgroupProgram; 2] = [
    CgroupProgram::Ingress(programs::HOST_NETWORK_INGRESS),
    CgroupProgram::Egress(programs::HOST_NETWORK_EGRESS),
];

/// The number of ticks at which a container is checked until the network of its processes is found.
const ATTEMPTS: u8 = 10;
/// A runtime puts a container's first process into the cgroup first and into the container's own network later. Only a
/// process that is still in the host's network after this time counts.
const DEBOUNCE: Duration = Duration::from_millis(500);

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let layout = context.layout.clone();
    if layout.mode() == Mode::V1 {
        let reason = "find a v2 hierarchy: the kernel records only the v2 cgroup of a socket, and this host has no v2 \
                      hierarchy; boot with systemd.unified_cgroup_hierarchy=1";
        return Err(NothingToRead(reason.to_owned()).into());
    }
    let proc_root = context.config.paths.proc.clone();
    process::same_namespace(&proc_root)?;
    let kernel = context.kernel()?;
    // Attach to the root and detach at once, so that missing support is reported at the start and not with the first
    // container.
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
    containers: HashMap<u64, NetworkState>,
    /// Containers on the host's network with no programs attached yet, with their cgroups.
    found: Vec<(u64, PathBuf)>,
}

enum NetworkState {
    /// No network found yet, after this many attempts.
    Unknown(u8),
    /// Seen in the host's network, maybe before moving to its own.
    Seen(Instant),
    /// In another network, or attaching failed.
    Elsewhere,
    /// In the host's network.
    Found,
    /// Counted.
    Counted { _links: CgroupLinks },
}

impl Collecting {
    /// True if the container is in the host's network; `None` if no process of it can be inspected.
    fn look(&self, container: &Container) -> anyhow::Result<Option<bool>> {
        let path = &container.identity.cgroup_path;
        let Some(process) = process::any_of(&self.layout, path)? else { return Ok(None) };
        let namespace = match process::network_namespace(&self.proc_root, &process) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(error).with_context(|| {
                    format!("look up the network namespace of process {process} (needs CAP_SYS_PTRACE)")
                });
            }
            Err(_) => return Ok(None),
            Ok(namespace) => namespace,
        };
        // If the process has ended since, another process may have its ID.
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
                Ok(links) => NetworkState::Counted { _links: links },
                Err(error) => {
                    tracing::warn!("traffic of a container on the host's network is not counted: {error:#}");
                    NetworkState::Elsewhere
                }
            };
        }
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        match self.containers.get(&container.key) {
            Some(NetworkState::Counted { .. }) => {
                row.host_network = Some(self.counts.sum(slot)?);
            }
            Some(NetworkState::Elsewhere | NetworkState::Found) => {}
            Some(NetworkState::Unknown(ATTEMPTS)) => {
                self.containers.insert(container.key, NetworkState::Elsewhere);
            }
            known => {
                let (attempts, seen) = match known {
                    Some(NetworkState::Unknown(attempts)) => (attempts + 1, None),
                    Some(NetworkState::Seen(since)) => (0, Some(*since)),
                    _ => (0, None),
                };
                let state = match (self.look(container)?, seen) {
                    (None, _) => NetworkState::Unknown(attempts),
                    (Some(false), _) => NetworkState::Elsewhere,
                    (Some(true), None) => NetworkState::Seen(Instant::now()),
                    (Some(true), Some(since)) if since.elapsed() < DEBOUNCE => NetworkState::Seen(since),
                    (Some(true), Some(_)) => {
                        let directory = self.layout.primary(&container.identity.cgroup_path);
                        self.found.push((container.key, directory));
                        NetworkState::Found
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
