//! Transfers of 1 GiB by iperf3, which reports what it has sent and received.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use glassbox::snapshot::sockets::{
    SocketCounters,
    protocol::{TCP, UDP},
};
use glassbox_tests::{docker::eventually, guest::is_guest, inapplicable, skip};

use super::{
    super::probe::ALONE,
    Setup, loopback,
    traffic::{TCP_HEADER_BYTES, UDP_HEADER_BYTES, ip_header_bytes},
};

/// A segment on loopback is not larger.
const SEGMENT_MAX_BYTES: u64 = 1 << 16;

/// As fast as possible.
const DATAGRAMS: &[&str] = &["-u", "-b", "0", "-n", "1G", "-l", "1400"];

/// A transfer of which one side is in the container.
struct Transfer {
    options: &'static [&'static str],
    protocol: usize,
    /// Else the client is.
    is_server_inside: bool,
    /// Else it sends.
    is_receiver_inside: bool,
}

const TRANSFERS: [Transfer; 4] = [
    Transfer { options: &["-n", "1G"], protocol: TCP, is_server_inside: false, is_receiver_inside: false },
    Transfer {
        options: &["-n", "1G", "-R"],
        protocol: TCP,
        is_server_inside: false,
        is_receiver_inside: true,
    },
    Transfer { options: DATAGRAMS, protocol: UDP, is_server_inside: false, is_receiver_inside: false },
    // Without -R: a client that receives waits for datagrams that were dropped.
    Transfer { options: DATAGRAMS, protocol: UDP, is_server_inside: true, is_receiver_inside: true },
];

/// Bytes of data in one direction, and the packets that contain them.
fn counts(traffic: &SocketCounters, transfer: &Transfer) -> (u64, u64) {
    let protocol = transfer.protocol;
    match transfer.is_receiver_inside {
        true => (traffic.receive_bytes[protocol], traffic.receive_packets[protocol]),
        false => (traffic.transmit_bytes[protocol], traffic.transmit_packets[protocol]),
    }
}

/// iperf3 in the host, or in a cgroup.
fn iperf3(cgroup: Option<&Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new("iperf3");
    if let Some(cgroup) = cgroup {
        command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\"; exec iperf3 \"$@\""]).arg(cgroup.join("cgroup.procs"));
    }
    command.args(arguments);
    command
}

fn is_listening(port: &str) -> bool {
    let port = format!(":{:04X} ", port.parse::<u16>().unwrap());
    let is_own = |line: &str| line.contains(&port) && line.contains(":0000 0A ");
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .any(|table| fs::read_to_string(table).is_ok_and(|table| table.lines().any(is_own)))
}

/// Lets iperf3 transfer data, and returns its report.
fn run(setup: &Setup, transfer: &Transfer, port: &str) -> serde_json::Value {
    let inside = |is_inside: bool| is_inside.then(|| setup.cgroup.path());
    let mut server = iperf3(inside(transfer.is_server_inside), &["-s", "-1", "-p", port])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("iperf3 listens", Duration::from_secs(5), || is_listening(port).then_some(()));
    let arguments = [&["-J", "-c", "127.0.0.1", "-p", port][..], transfer.options].concat();
    let output = iperf3(inside(!transfer.is_server_inside), &arguments).output().unwrap();
    server.wait().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_transfer_by_iperf3_agrees_with_its_own_report() {
    let test = "a_transfer_by_iperf3_agrees_with_its_own_report";
    let _alone = ALONE.lock();
    if is_guest() {
        return inapplicable(test, "guests have no iperf3");
    }
    if Command::new("iperf3").arg("--version").output().is_err() {
        return skip(test, "iperf3 is not installed; run `cargo xtask setup --tests`");
    }
    let mut setup = Setup::new();
    let port = TcpListener::bind(loopback(false)).unwrap().local_addr().unwrap().port().to_string();
    for transfer in TRANSFERS {
        let before = counts(&setup.read().traffic, &transfer);
        let report = run(&setup, &transfer, &port);
        let after = counts(&setup.read().traffic, &transfer);
        let transport_bytes = if transfer.protocol == UDP { UDP_HEADER_BYTES } else { TCP_HEADER_BYTES };
        let headers = (after.1 - before.1) * (ip_header_bytes(false) + transport_bytes);
        let data = after.0 - before.0 - headers;
        let of = |sum: &str| report["end"][sum]["bytes"].as_u64().unwrap_or_else(|| panic!("{report}"));
        // A socket that drops datagrams has received them. At the end of a test over TCP, iperf3 discards what is still in the
        // sender's buffer.
        let (least, most) = if transfer.protocol == UDP {
            (of("sum"), of("sum"))
        } else {
            (of("sum_received"), of("sum_sent"))
        };
        // A busy receiver drops segments of TCP. They are sent again, and counted again.
        let again = report["end"]["sum_sent"]["retransmits"].as_u64().unwrap_or_default();
        let what = format!("{:?}, receives {}", transfer.options, transfer.is_receiver_inside);
        println!("{what}: {data} counted, {least} to {most} reported by iperf3, {again} segments sent again");
        let limit = most + again * SEGMENT_MAX_BYTES;
        assert!(most >= 1 << 30, "{what}: {most}");
        assert!(data >= least - least / 1000 && data <= limit + most / 1000, "{what}: {data}");
    }
}
