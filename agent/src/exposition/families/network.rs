//! Interface counters, and the traffic of containers on the host network.

use crate::{
    exposition::{
        family::{Draft, Family},
        sample::Emit,
    },
    snapshot::{
        ContainerRow,
        network::{HostNetworkCounters, InterfaceCounters},
    },
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    interface("container_network_receive_bytes_total")
        .help("Bytes received.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_bytes)),
    interface("container_network_receive_packets_total")
        .help("Packets received.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_packets)),
    interface("container_network_receive_packets_dropped_total")
        .help("Packets dropped while receiving.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_dropped)),
    interface("container_network_receive_errors_total")
        .help("Errors encountered while receiving.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.receive_errors)),
    interface("container_network_transmit_bytes_total")
        .help("Bytes transmitted.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_bytes)),
    interface("container_network_transmit_packets_total")
        .help("Packets transmitted.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_packets)),
    interface("container_network_transmit_packets_dropped_total")
        .help("Packets dropped while transmitting.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_dropped)),
    interface("container_network_transmit_errors_total")
        .help("Errors encountered while transmitting.")
        .cadvisor(|row, emit| each(row, emit, |counters| counters.transmit_errors)),
    host_network("glassbox_container_host_network_receive_bytes_total")
        .help("IP bytes received by sockets of a container on the host network, including headers.")
        .container(|row, emit| in_host(row, emit, |counted| counted.receive_bytes)),
    host_network("glassbox_container_host_network_receive_packets_total")
        .help(
            "IP packets received by sockets of a container on the host network, as handled by the kernel: \
             large transfers have fewer packets than on the wire.",
        )
        .container(|row, emit| in_host(row, emit, |counted| counted.receive_packets)),
    host_network("glassbox_container_host_network_transmit_bytes_total")
        .help("IP bytes transmitted by sockets of a container on the host network, including headers.")
        .container(|row, emit| in_host(row, emit, |counted| counted.transmit_bytes)),
    host_network("glassbox_container_host_network_transmit_packets_total")
        .help(
            "IP packets transmitted by sockets of a container on the host network, as handled by the \
             kernel: large transfers have fewer packets than on the wire.",
        )
        .container(|row, emit| in_host(row, emit, |counted| counted.transmit_packets)),
];

const fn interface(name: &'static str) -> Draft {
    Family::counter(name)
        .source("/proc/PID/net/dev; absent if the container shares a network namespace")
        .labels(&["interface"])
}

const fn host_network(name: &'static str) -> Draft {
    Family::counter(name).source(
        "program on the container's cgroup, attached when the container is first seen on the host network; \
         includes loopback",
    )
}

fn in_host(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&HostNetworkCounters) -> u64) {
    emit.count(row.host_network.as_ref().map(read));
}

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&InterfaceCounters) -> u64) {
    for counters in &row.network {
        emit.with(&[&counters.interface]).count(read(counters));
    }
}
