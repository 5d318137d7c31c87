//! Bytes and packets.

use std::{
    io::Write as _,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use glassbox::snapshot::sockets::{
    SocketCounters,
    protocol::{OTHER, TCP, UDP},
};
use glassbox_tests::{cgroup::Cgroup, container_sockets, container_sockets::ContainerSockets, skip};

use super::{super::probe::ALONE, Setup, has_ipv6, loopback, print_run_times, words};

const DATAGRAMS: u64 = 100;
const DATA_BYTES: u64 = 1000;
const UDP_HEADER_BYTES: u64 = 8;
/// With the option for timestamps, as in every segment but a SYN.
const TCP_HEADER_BYTES: u64 = 32;
pub(super) const TRANSFER_BYTES: u64 = 32 << 20;

fn ip_header_bytes(is_ipv6: bool) -> u64 {
    if is_ipv6 { 40 } else { 20 }
}

/// Sends datagrams from one socket to another and back.
fn exchange(client: &UdpSocket, server: &UdpSocket) {
    let to = server.local_addr().unwrap();
    let mut buffer = [0; DATA_BYTES as usize];
    for socket in [client, server] {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    for _ in 0..DATAGRAMS {
        client.send_to(&buffer, to).unwrap();
        let (bytes, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..bytes], from).unwrap();
        client.recv_from(&mut buffer).unwrap();
    }
}

#[test]
fn datagrams_of_a_container_are_counted_to_the_byte_over_ipv4_and_ipv6() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    assert_eq!(setup.read().traffic.transmit_bytes, [0; 3]);
    let measured = aya::sys::enable_stats(aya::sys::Stats::RunTime);
    let (mut bytes, mut packets) = (0, 0);
    for is_ipv6 in [false, true].into_iter().filter(|is_ipv6| !is_ipv6 || has_ipv6()) {
        exchange(&setup.udp(is_ipv6), &UdpSocket::bind(loopback(is_ipv6)).unwrap());
        packets += DATAGRAMS;
        bytes += DATAGRAMS * (DATA_BYTES + UDP_HEADER_BYTES + ip_header_bytes(is_ipv6));
        let traffic = setup.read().traffic;
        assert_eq!((traffic.transmit_bytes[UDP], traffic.transmit_packets[UDP]), (bytes, packets));
        assert_eq!((traffic.receive_bytes[UDP], traffic.receive_packets[UDP]), (bytes, packets));
        assert_eq!((traffic.transmit_bytes[TCP], traffic.transmit_bytes[OTHER]), (0, 0));
    }
    print_run_times();
    drop(measured);
}

/// Transfers bytes from one end to the other, and closes both. Returns the bytes that the kernel sent for this, including
/// those that it sent again.
pub(super) fn transfer(mut from: TcpStream, mut to: TcpStream) -> u64 {
    const BYTES_SENT_WORD: usize = 50;
    let reader = std::thread::spawn(move || std::io::copy(&mut to, &mut std::io::sink()).unwrap());
    let chunk = vec![0; 1 << 16];
    for _ in 0..TRANSFER_BYTES / chunk.len() as u64 {
        from.write_all(&chunk).unwrap();
    }
    from.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reader.join().unwrap(), TRANSFER_BYTES);
    let info: [u32; BYTES_SENT_WORD + 2] = words(&from, libc::IPPROTO_TCP, libc::TCP_INFO);
    u64::from(info[BYTES_SENT_WORD]) | u64::from(info[BYTES_SENT_WORD + 1]) << 32
}

/// `counted` IP bytes in `packets` contain this much data.
fn data_bytes(counted: u64, packets: u64, is_ipv6: bool) -> u64 {
    counted - packets * (ip_header_bytes(is_ipv6) + TCP_HEADER_BYTES)
}

#[test]
fn a_transfer_over_tcp_is_counted_within_a_tenth_of_a_percent_in_both_directions() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let measured = aya::sys::enable_stats(aya::sys::Stats::RunTime);
    for is_ipv6 in [false, true].into_iter().filter(|is_ipv6| !is_ipv6 || has_ipv6()) {
        let server = TcpListener::bind(loopback(is_ipv6)).unwrap();
        let before = setup.read().traffic;
        let own = setup.stream(server.local_addr().unwrap()).unwrap();
        let expected = transfer(own, server.accept().unwrap().0);
        let sent = setup.read().traffic;
        let data = data_bytes(
            sent.transmit_bytes[TCP] - before.transmit_bytes[TCP],
            sent.transmit_packets[TCP] - before.transmit_packets[TCP],
            is_ipv6,
        );
        println!("sent: {data} of {expected}");
        assert!(expected >= TRANSFER_BYTES && data.abs_diff(expected) <= expected / 1000);
        let own = setup.stream(server.local_addr().unwrap()).unwrap();
        let expected = transfer(server.accept().unwrap().0, own);
        let received = setup.read().traffic;
        let data = data_bytes(
            received.receive_bytes[TCP] - sent.receive_bytes[TCP],
            received.receive_packets[TCP] - sent.receive_packets[TCP],
            is_ipv6,
        );
        println!("received: {data} of {expected}");
        assert!(expected >= TRANSFER_BYTES && data.abs_diff(expected) <= expected / 1000);
    }
    print_run_times();
    drop(measured);
    let times = setup.read().connections.round_trips;
    assert!(times.count() > 2, "round trips of long connections are sampled: {}", times.count());
}

#[test]
fn a_container_in_a_container_is_counted_once_and_not_for_the_outer_one() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let (inner, id) = Cgroup::container(setup.cgroup.path()).unwrap();
    let sockets = ContainerSockets::of(&inner);
    let snapshots = setup.snapshots.clone();
    let of_inner = || super::row(&snapshots, &id).and_then(|row| row.sockets);
    super::tick_until("find the inner one", &mut setup.engine, || of_inner().is_some());
    let own: UdpSocket = sockets.socket(libc::AF_INET, libc::SOCK_DGRAM).into();
    exchange(&own, &UdpSocket::bind(loopback(false)).unwrap());
    let outer = setup.read();
    assert_eq!(of_inner().unwrap().traffic.transmit_packets[UDP], DATAGRAMS);
    assert_eq!(outer.traffic.transmit_packets[UDP], 0);
}

#[test]
fn bytes_of_unix_sockets_are_counted_to_the_byte_if_configured() {
    let test = "bytes_of_unix_sockets_are_counted_to_the_byte_if_configured";
    let _alone = ALONE.lock();
    let mut setup = Setup::counting_unix_sockets();
    let Some(before) = setup.read().unix else {
        let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let name = b"btf_trace_sock_send_length";
        assert!(!btf.windows(name.len()).any(|window| window == name), "this kernel has the hook");
        return glassbox_tests::inapplicable(test, "this kernel has no hook for unix sockets (before 6.3)");
    };
    setup.sockets.transfer_through_unix_sockets(1000);
    let after = setup.read().unix.unwrap();
    let received = after.receive_bytes - before.receive_bytes;
    let sent = after.transmit_bytes - before.transmit_bytes;
    assert_eq!(received, 1000 * 4096 + container_sockets::REQUEST_BYTES);
    assert_eq!(sent, 1000 * 4096 + container_sockets::RESPONSE_BYTES);
}

#[test]
fn unix_sockets_are_not_counted_by_default() {
    let _alone = ALONE.lock();
    assert_eq!(Setup::new().read().unix, None);
}

/// Bytes and packets of one direction.
trait Counts {
    fn counts(&self, is_receive: bool, protocol: usize) -> (u64, u64);
}

impl Counts for SocketCounters {
    fn counts(&self, is_receive: bool, protocol: usize) -> (u64, u64) {
        match is_receive {
            true => (self.receive_bytes[protocol], self.receive_packets[protocol]),
            false => (self.transmit_bytes[protocol], self.transmit_packets[protocol]),
        }
    }
}

#[test]
fn a_transfer_by_iperf3_agrees_with_its_own_report() {
    let test = "a_transfer_by_iperf3_agrees_with_its_own_report";
    let _alone = ALONE.lock();
    if glassbox_tests::guest::is_guest() {
        return glassbox_tests::inapplicable(test, "guests have no iperf3");
    }
    if std::process::Command::new("iperf3").arg("--version").output().is_err() {
        return skip(test, "iperf3 is not installed; run `cargo xtask setup --tests`");
    }
    let mut setup = Setup::new();
    let port = TcpListener::bind(loopback(false)).unwrap().local_addr().unwrap().port().to_string();
    for (options, protocol, header_bytes) in [
        (vec!["-n", "1G"], TCP, 20 + TCP_HEADER_BYTES),
        (vec!["-n", "1G", "-R"], TCP, 20 + TCP_HEADER_BYTES),
        (vec!["-u", "-b", "0", "-n", "256M", "-l", "1400"], UDP, 20 + UDP_HEADER_BYTES),
    ] {
        let mut server = std::process::Command::new("iperf3")
            .args(["-s", "-1", "-p", &port])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
        glassbox_tests::docker::eventually("iperf3 listens", Duration::from_secs(5), || {
            let table = std::fs::read_to_string("/proc/net/tcp6").unwrap()
                + &std::fs::read_to_string("/proc/net/tcp").unwrap();
            let port = format!(":{:04X} ", address.port());
            table.contains(&port).then_some(())
        });
        let before = setup.read().traffic;
        let directory = setup.cgroup.path().join("cgroup.procs");
        let script = format!(
            "echo $$ > {}; exec iperf3 -J -c 127.0.0.1 -p {port} {}",
            directory.display(),
            options.join(" ")
        );
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        server.wait().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let after = setup.read().traffic;
        let is_reverse = options.contains(&"-R");
        let (counted, earlier) = (after.counts(is_reverse, protocol), before.counts(is_reverse, protocol));
        let data = (counted.0 - earlier.0) - (counted.1 - earlier.1) * header_bytes;
        let of = |sum: &str| report["end"][sum]["bytes"].as_u64().unwrap_or_else(|| panic!("{report}"));
        // At the end of a test over TCP, iperf3 discards what is still in the sender's buffer.
        let (least, most) =
            if protocol == UDP { (of("sum"), of("sum")) } else { (of("sum_received"), of("sum_sent")) };
        println!("{options:?}: {data} counted, {least} to {most} reported by iperf3");
        assert!(data >= least - least / 1000 && data <= most + most / 1000, "{options:?}: {data}");
    }
}
