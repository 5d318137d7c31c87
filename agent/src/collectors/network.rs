//! Interface counters of a container's own network namespace, from `/proc/PID/net/dev`, and, if configured, its
//! [sockets](socket_states) by state.
//!
//! The file is opened once, through any process of the container. While it is open, it shows the same namespace, even
//! after that process has ended. This costs one `pread` call per container and tick, about 5 µs. At a
//! container's first ticks the namespace is checked again, because a runtime's first process enters its namespace only
//! after it has entered the cgroup. A container in the host's network has no series. If several containers share a
//! namespace, only the first one found has series, so that nothing is counted twice. Reading another process's
//! namespace needs the right to trace that process, which root has.
//!
//! Excluded are the loopback interface and the interfaces through which a container reaches nested containers (`veth*`,
//! `docker*`, `nerdctl*`), as in cAdvisor. All supported kernels have these files.

mod device;
mod socket_states;

use std::{collections::HashMap, fs::File, io, path::PathBuf};

use anyhow::Context as _;

use self::{
    device::Devices,
    socket_states::{SocketFiles, SocketTables},
};
use super::{Collector, Context, Spec, examination};
use crate::containers::process;
use crate::{
    containers::{cgroup::Layout, tracker::Container},
    kernel::privileges,
    snapshot::{ContainerRow, host::Host, network::InterfaceCounters},
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "network",
    summary: "interface counters, from /proc/PID/net/dev",
    capabilities: &[&privileges::SYS_PTRACE],
    needs: &[],
    start: |context| Ok(Box::new(Network::new(context)?)),
    examine: examination::of_start,
};

/// A container without a namespace of its own is checked again once in this many ticks: the container that it shares a
/// namespace with may have ended, or its first process may not have existed yet.
const RETRY_EVERY_TICKS: u32 = 10;
/// Number of first ticks at each of which a container without processes is checked. For as many ticks after the
/// namespace of a container was opened, the agent checks that its processes are still in that namespace.
const FIRST_TICKS: u32 = 5;

struct Network {
    layout: Layout,
    proc_root: PathBuf,
    host_namespace: u64,
    limitation: Option<String>,
    containers: HashMap<u64, ContainerInterfaces>,
    /// The container that has the series of a namespace, by the namespace's inode. The open file keeps the kernel from
    /// reusing the inode number.
    owners: HashMap<u64, u64>,
    devices: Devices,
    sockets: SocketTables,
}

#[derive(Default)]
struct ContainerInterfaces {
    ticks: u32,
    namespace: Option<Namespace>,
    /// Why the last attempt to open it failed; reported until the next attempt.
    failed: Option<String>,
}

/// A namespace with its series in a container's row.
struct Namespace {
    inode: u64,
    device_file: File,
    /// Ticks since it was opened, up to [`FIRST_TICKS`].
    age_ticks: u32,
}

impl Network {
    fn new(context: &Context<'_>) -> anyhow::Result<Self> {
        let proc_root = context.config.paths.proc.clone();
        process::same_namespace(&proc_root)?;
        let host_namespace = process::host_network_namespace(&proc_root)?;
        Ok(Self {
            limitation: process::limitation(context.layout, &proc_root),
            layout: context.layout.clone(),
            proc_root,
            host_namespace,
            containers: HashMap::new(),
            owners: HashMap::new(),
            devices: Devices::new(),
            sockets: SocketTables::new(context.config),
        })
    }

    /// Opens the counters of the container's namespace, unless another container or the host has that namespace.
    fn open(&self, container: &Container) -> anyhow::Result<Option<(Namespace, SocketFiles)>> {
        let path = &container.identity.cgroup_path;
        let Some(process) = process::any_of(&self.layout, path)? else {
            return Ok(None);
        };
        let directory = self.proc_root.join(&process);
        let opened = process::network_namespace(&self.proc_root, &process).and_then(|inode| {
            let device_file = File::open(directory.join("net/dev"))?;
            Ok((Namespace { inode, device_file, age_ticks: 0 }, self.sockets.open(&directory)))
        });
        // If the process has ended since, another process may have its ID.
        if !process::is_member(&self.layout, path, &process) {
            return Ok(None);
        }
        if opened.as_ref().is_err_and(has_ended) {
            return Ok(None);
        }
        let (namespace, sockets) =
            opened.with_context(|| format!("open the network namespace of process {process}"))?;
        let shared = namespace.inode == self.host_namespace || self.owners.contains_key(&namespace.inode);
        Ok((!shared).then_some((namespace, sockets)))
    }

    /// True if the container's processes are in another namespace than the one opened a few ticks ago.
    fn has_moved(&mut self, container: &Container) -> bool {
        let tracked = self.containers.get_mut(&container.key);
        let Some(namespace) = tracked.and_then(|tracked| tracked.namespace.as_mut()) else { return false };
        if namespace.age_ticks >= FIRST_TICKS {
            return false;
        }
        namespace.age_ticks += 1;
        let Ok(Some(process)) = process::any_of(&self.layout, &container.identity.cgroup_path) else {
            return false;
        };
        process::network_namespace(&self.proc_root, &process).is_ok_and(|inode| inode != namespace.inode)
    }

    /// Closes the container's namespace.
    fn release(&mut self, key: u64) {
        self.sockets.forget(key);
        let namespace = self.containers.get_mut(&key).and_then(|tracked| tracked.namespace.take());
        if let Some(namespace) = namespace {
            self.owners.remove(&namespace.inode);
        }
    }
}

impl Collector for Network {
    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        if self.has_moved(container) {
            self.release(container.key);
            row.network.clear();
        }
        let tracked = self.containers.entry(container.key).or_default();
        let tick = tracked.ticks;
        tracked.ticks = tick.wrapping_add(1);
        if tracked.namespace.is_none() {
            if tick >= FIRST_TICKS && !tick.is_multiple_of(RETRY_EVERY_TICKS) {
                return tracked.failed.as_ref().map_or(Ok(()), |reason| Err(anyhow::anyhow!("{reason}")));
            }
            let opened = self.open(container);
            if let Some(tracked) = self.containers.get_mut(&container.key) {
                tracked.failed = opened.as_ref().err().map(|error| format!("{error:#}"));
            }
            let Some((namespace, sockets)) = opened? else {
                return Ok(());
            };
            self.sockets.hold(container.key, sockets);
            self.owners.insert(namespace.inode, container.key);
            self.containers.entry(container.key).or_default().namespace = Some(namespace);
        }
        let held = self.containers.get(&container.key).and_then(|tracked| tracked.namespace.as_ref());
        let Some(namespace) = held else { return Ok(()) };
        let read = self.devices.read(&namespace.device_file).context("read interface counters")?;
        // When a container ends, its runtime removes the interfaces. The row keeps their last values.
        if read.len() >= row.network.len()
            || process::any_of(&self.layout, &container.identity.cgroup_path).is_ok_and(|one| one.is_some())
        {
            self.devices.swap_into(&mut row.network);
        }
        row.socket_states = self.sockets.counted(container.key)?;
        Ok(())
    }

    fn limitation(&self) -> Option<&str> {
        self.limitation.as_deref()
    }

    fn collect_host(&mut self, _: &mut Host) {
        self.sockets.read_on();
    }

    fn forget(&mut self, container: &Container) {
        self.release(container.key);
        self.containers.remove(&container.key);
    }
}

/// True if the process has ended since it was found: its directory does not exist or is empty.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests;
