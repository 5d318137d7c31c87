//! Socket traffic, TCP connections and listening ports per container, on any network.
//!
//! Kernel half: agent-ebpf/src/probes/sockets.rs and its submodules. A cgroup_skb pair and a sock_ops program on the
//! container's own v2 cgroup count packets, connections and accept queues; programs on tracepoints count resets and
//! dropped datagrams; if configured, others count bytes of unix sockets (6.3). The programs are attached when the
//! kernel reports the container's cgroup, before its first process starts, and to older containers at the first tick.
//! Needs CAP_NET_ADMIN.
//!
//! Round-trip times are read in the programs: at the end of each connection, and at every 256th packet, so that long
//! connections are included. Reading them from user space (sock_diag) would need an entry into each network namespace,
//! and so CAP_SYS_ADMIN.
//!
//! Cost: some 150 ns per packet of a container (those of `host_network`: 105 ns, in the same run) and 0.6 µs per
//! connection, according to the kernel's program statistics, which cause part of it themselves (6.18, a busy machine).
//! In addition, four map lookups per container and tick. Attaching takes 0.2 ms per container, detaching 14 µs.

mod attachments;
mod older;
mod recent;

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use glassbox_ebpf::{maps, programs, sockets::ListenerKey};

use self::{attachments::Attachments, older::Older, recent::RecentQueues};
use super::{
    Collector, Context, Spec,
    examination::{self, Examination, Finding, NothingToRead, Verdict},
};
use crate::{
    containers::{
        cgroup::{Layout, Mode},
        tracker::Container,
    },
    kernel::{
        Kernel,
        by_slot::BySlot,
        cgroup_links::CgroupProgram,
        plans, privileges,
        slot_array::{SharedSlotArray, SlotArray},
    },
    snapshot::{
        ContainerRow,
        sockets::{AcceptQueue, ConnectionCounters, PORTS_MAX, SocketCounters, SocketUsage, UnixCounters},
    },
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "sockets",
    summary: "socket traffic and TCP connections, from programs on the containers' cgroups (cgroup_skb, sock_ops)",
    capabilities: &[&privileges::NET_ADMIN],
    needs: &[],
    start,
    examine,
};

/// The programs on the cgroup of a container. A connection is known before its packets are.
pub const PROGRAMS: [CgroupProgram; 3] = [
    CgroupProgram::Operations(programs::SOCKETS_OPERATIONS),
    CgroupProgram::Egress(programs::SOCKETS_EGRESS),
    CgroupProgram::Ingress(programs::SOCKETS_INGRESS),
];

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let (layout, proc_root) = (context.layout.clone(), context.config.paths.proc.clone());
    if layout.mode() == Mode::V1 {
        // A v2 hierarchy that the agent mounted would not help: without a runtime that creates cgroups in it, all
        // sockets belong to its root.
        let reason = "find a v2 hierarchy: the kernel records only the v2 cgroup of a socket, and this host has no v2 \
                      hierarchy; boot with systemd.unified_cgroup_hierarchy=1";
        return Err(NothingToRead(reason.to_owned()).into());
    }
    let kernel = context.kernel()?;
    // Attach to the root and detach at once, so that missing support is reported at the start and not with the first
    // container.
    drop(kernel.attach_to_cgroup(&PROGRAMS, &layout.primary("/"))?);
    let has_unix = kernel.method(plans::UNIX_SOCKETS_PROBE).is_ok();
    Ok(Box::new(Sockets {
        traffic: kernel.slot_array(maps::SOCKETS)?,
        connections: kernel.shared_slot_array(maps::SOCKET_CONNECTIONS)?,
        queues: kernel.shared_slot_array(maps::SOCKET_QUEUES)?,
        listeners: kernel.by_slot(maps::SOCKET_LISTENERS)?,
        unix: kernel.slot_array(maps::SOCKET_UNIX)?,
        has_unix,
        has_resets: kernel.method(SPEC.name).is_ok(),
        has_drops: kernel.has(programs::SOCKETS_UDP_DROP),
        attachments: Attachments::new(&PROGRAMS),
        older: Older::new(layout.clone(), proc_root),
        layout,
        recent_queues: RecentQueues::default(),
        ports: HashMap::new(),
        ports_changed: true,
        port_changes: HashMap::new(),
    }))
}

fn examine(host: &examination::Host<'_>) -> Examination {
    let Some(kernel) = host.kernel.filter(|_| host.is_on) else { return Examination::default() };
    let unix = if host.config.sockets.unix {
        match kernel.method(plans::UNIX_SOCKETS_PROBE) {
            Ok(method) => Finding::new(Verdict::Works, method.name),
            Err(error) => Finding::new(Verdict::Degraded, format!("not counted: {error:#}")),
        }
    } else {
        Finding::new(Verdict::Off, "not counted (sockets.unix = false)")
    };
    Examination { collector: None, subjects: vec![("unix sockets".to_owned(), unix)] }
}

struct Sockets {
    layout: Layout,
    attachments: Attachments,
    traffic: SlotArray<SocketCounters>,
    connections: SharedSlotArray<ConnectionCounters>,
    queues: SharedSlotArray<AcceptQueue>,
    listeners: BySlot<ListenerKey, u64>,
    unix: SlotArray<UnixCounters>,
    has_unix: bool,
    has_resets: bool,
    has_drops: bool,
    older: Older,
    recent_queues: RecentQueues,
    /// Listening ports by slot, as of the last reading of the map.
    ports: HashMap<u32, BTreeSet<u16>>,
    /// Whether a container has begun or ceased to listen since then.
    ports_changed: bool,
    /// The number of such changes by container, as of its last reading.
    port_changes: HashMap<u64, u64>,
}

impl Sockets {
    /// Reads the map of listening ports again if it has changed.
    fn refresh_ports(&mut self) {
        if !std::mem::take(&mut self.ports_changed) {
            return;
        }
        self.ports.clear();
        for (key, _) in self.listeners.iter() {
            if let Ok(port) = u16::try_from(key.port) {
                self.ports.entry(key.slot).or_default().insert(port);
            }
        }
    }

    /// The lowest ports on which the container listens.
    fn ports_of(&self, container: &Container, slot: u32) -> Vec<u16> {
        let reported = self.ports.get(&slot).into_iter().flatten().copied();
        let ports: BTreeSet<u16> = reported.chain(self.older.ports(container.key)).collect();
        ports.into_iter().take(PORTS_MAX).collect()
    }

    fn open(&self, container: &Container, counts: &ConnectionCounters) -> Option<u64> {
        if self.older.contains(container.key) {
            return self.older.open_connections(container.key);
        }
        // A connection may be counted between the reads of two fields.
        Some((counts.accepted + counts.opened).saturating_sub(counts.closed))
    }
}

impl Collector for Sockets {
    fn refresh(&mut self, _: Option<&mut Kernel>) {
        self.older.begin_tick();
        self.refresh_ports();
    }

    fn on_start(&mut self, container: &Container, is_new: bool, kernel: &mut Kernel) {
        self.attachments.attach(container, &self.layout, kernel);
        if !is_new {
            self.older.add(container.key);
        }
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        if !self.attachments.is_counted(container.key) {
            return Ok(());
        }
        let connections = self.connections.get(slot)?;
        let changes = connections.ports_entered + connections.ports_removed;
        if self.port_changes.insert(container.key, changes).unwrap_or(0) != changes {
            self.ports_changed = true;
            self.refresh_ports();
        }
        self.older.update(container);
        let (accept_queue, is_over) =
            self.recent_queues.add(container.key, self.queues.get(slot)?, Instant::now());
        if is_over {
            self.queues.clear(slot);
        }
        row.sockets = Some(Box::new(SocketUsage {
            traffic: self.traffic.sum(slot)?,
            has_resets: self.has_resets,
            has_drops: self.has_drops,
            open: self.open(container, &connections),
            accept_queue,
            unix: if self.has_unix { Some(self.unix.sum(slot)?) } else { None },
            listening_ports: self.ports_of(container, slot),
            connections,
        }));
        Ok(())
    }

    fn is_readable_after_exit(&self) -> bool {
        true
    }

    fn forget(&mut self, container: &Container) {
        self.attachments.detach(container.key);
        self.older.forget(container.key);
        self.recent_queues.forget(container.key);
        self.port_changes.remove(&container.key);
    }

    fn clear_slot(&mut self, slot: u32) {
        let counts = self.connections.get(slot).unwrap_or_default();
        if counts.ports_entered != counts.ports_removed {
            self.listeners.clear(slot);
            self.ports_changed = true;
        }
        self.traffic.clear(slot);
        self.connections.clear(slot);
        self.queues.clear(slot);
        self.unix.clear(slot);
    }
}
