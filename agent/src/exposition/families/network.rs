//! Interface counters, and the traffic of containers that have no interfaces of their own.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{
        ContainerRow,
        network::{HostNetworkCounters, InterfaceCounters},
    },
};

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::counter("container_network_receive_bytes_total")
        .help("Bytes received.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_bytes)),
    Family::counter("container_network_receive_packets_total")
        .help("Packets received.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_packets)),
    Family::counter("container_network_receive_packets_dropped_total")
        .help("Packets dropped while receiving.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_dropped)),
    Family::counter("container_network_receive_errors_total")
        .help("Errors while receiving.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_errors)),
    Family::counter("container_network_transmit_bytes_total")
        .help("Bytes sent.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_bytes)),
    Family::counter("container_network_transmit_packets_total")
        .help("Packets sent.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_packets)),
    Family::counter("container_network_transmit_packets_dropped_total")
        .help("Packets dropped while sending.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_dropped)),
    Family::counter("container_network_transmit_errors_total")
        .help("Errors while sending.")
        .source("/proc/PID/net/dev; absent where the container shares a network namespace")
        .labels(&["interface"])
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_errors)),
    Family::counter("glassbox_container_host_network_receive_bytes_total")
        .help("IP bytes that sockets of a container in the host's network received, headers included.")
        .source(
            "program on the container's cgroup, from when it is first seen in the host's network; \
                 loopback included",
        )
        .container(|row, emit| in_host(row, emit, |counted| counted.receive_bytes)),
    Family::counter("glassbox_container_host_network_receive_packets_total")
        .help(
            "IP packets that sockets of a container in the host's network received, as the kernel \
               handles them: a large transfer has fewer than the wire.",
        )
        .source(
            "program on the container's cgroup, from when it is first seen in the host's network; \
                 loopback included",
        )
        .container(|row, emit| in_host(row, emit, |counted| counted.receive_packets)),
    Family::counter("glassbox_container_host_network_transmit_bytes_total")
        .help("IP bytes that sockets of a container in the host's network sent, headers included.")
        .source(
            "program on the container's cgroup, from when it is first seen in the host's network; \
                 loopback included",
        )
        .container(|row, emit| in_host(row, emit, |counted| counted.transmit_bytes)),
    Family::counter("glassbox_container_host_network_transmit_packets_total")
        .help(
            "IP packets that sockets of a container in the host's network sent, as the kernel handles \
               them: a large transfer has fewer than the wire.",
        )
        .source(
            "program on the container's cgroup, from when it is first seen in the host's network; \
                 loopback included",
        )
        .container(|row, emit| in_host(row, emit, |counted| counted.transmit_packets)),
];

fn in_host(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&HostNetworkCounters) -> u64) {
    emit.count(row.host_network.as_ref().map(read));
}

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&InterfaceCounters) -> u64) {
    for counters in &row.network {
        emit.with(&[&counters.interface]).count(read(counters));
    }
}
