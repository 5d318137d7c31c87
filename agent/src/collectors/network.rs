//! Interface counters of a container's own network namespace, from `/proc/PID/net/dev`, and, where configured, its
//! [`sockets`] by state.
//!
//! The file is opened once, through any process of the container, and then shows the same namespace for as
//! long as it is held, also when that process has ended: one `pread` or two per container and tick, some 10
//! µs. At a container's first ticks the namespace is looked up again: a runtime's first process enters it only after it
//! has entered the cgroup. A container in the host's network has no series, and of those that share a namespace only the first
//! one met has, so that nothing is counted twice. Reading another process's namespace takes the right to
//! trace it, which root has.
//!
//! Left out are the loopback and the interfaces by which a container reaches containers of its own (`veth*`,
//! `docker*`, `nerdctl*`), as cAdvisor does. No kernel is too old.

mod device;
mod sockets;

use std::{collections::HashMap, fs::File, io, path::PathBuf};

use anyhow::Context as _;

use self::{
    device::Devices,
    sockets::{SocketFiles, SocketTables},
};
use super::{Collector, Context, Spec, examination};
use crate::containers::process;
use crate::{
    containers::{cgroup::Layout, tracker::Container},
    kernel::privileges,
    snapshot::{ContainerRow, host::Host, network::InterfaceCounters},
};

/// The row of the registry.
pub const SPEC: Spec = Spec {
    name: "network",
    summary: "interface counters, from /proc/PID/net/dev",
    capabilities: &[&privileges::SYS_PTRACE],
    start: |context| Ok(Box::new(Network::new(context)?)),
    examine: examination::of_start,
};

/// A container without a namespace of its own is looked at again at every so many ticks: the one that it
/// shares a namespace with may have gone, or its first process was not there yet.
const RETRY_EVERY_TICKS: u32 = 10;
/// At so many first ticks a container without processes is looked at every time, and at as many after its namespace was
/// opened, whether its processes are still in that one.
const FIRST_TICKS: u32 = 5;

struct Network {
    layout: Layout,
    proc_root: PathBuf,
    host_namespace: u64,
    limitation: Option<String>,
    containers: HashMap<u64, Tracked>,
    /// The container that bears the series of a namespace, by its inode. The file that is held keeps the
    /// kernel from giving the number to another one.
    bearers: HashMap<u64, u64>,
    devices: Devices,
    sockets: SocketTables,
}

#[derive(Default)]
struct Tracked {
    ticks: u32,
    namespace: Option<Namespace>,
    /// Why the last attempt to open it failed; reported until the next attempt.
    failed: Option<String>,
}

/// A namespace of which a container bears the series.
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
            bearers: HashMap::new(),
            devices: Devices::new(),
            sockets: SocketTables::new(context.config),
        })
    }

    /// Opens the counters of the container's namespace, if they are its to bear.
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
        // Had the process ended meanwhile, its number could be another's by now.
        if !process::is_member(&self.layout, path, &process) {
            return Ok(None);
        }
        if opened.as_ref().is_err_and(has_ended) {
            return Ok(None);
        }
        let (namespace, sockets) =
            opened.with_context(|| format!("open the network namespace of process {process}"))?;
        let shared = namespace.inode == self.host_namespace || self.bearers.contains_key(&namespace.inode);
        Ok((!shared).then_some((namespace, sockets)))
    }

    /// True if the container's processes are in another namespace than the one that was opened a few ticks ago.
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

    /// Lets go of the container's namespace.
    fn release(&mut self, key: u64) {
        self.sockets.forget(key);
        let namespace = self.containers.get_mut(&key).and_then(|tracked| tracked.namespace.take());
        if let Some(namespace) = namespace {
            self.bearers.remove(&namespace.inode);
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
            self.bearers.insert(namespace.inode, container.key);
            self.containers.entry(container.key).or_default().namespace = Some(namespace);
        }
        let held = self.containers.get(&container.key).and_then(|tracked| tracked.namespace.as_ref());
        let Some(namespace) = held else { return Ok(()) };
        let read = self.devices.read(&namespace.device_file).context("read interface counters")?;
        // When a container ends, its runtime takes the interfaces away; what they last showed is to stay.
        if read.len() >= row.network.len()
            || process::any_of(&self.layout, &container.identity.cgroup_path).is_ok_and(|one| one.is_some())
        {
            self.devices.swap_into(&mut row.network);
        }
        row.sockets = self.sockets.counted(container.key)?;
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

/// True if the process has ended since it was found: its directory is gone, or empty.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests;
