//! Bytes and packets.

use std::{
    io::Write as _,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use glassbox::snapshot::sockets::{
    SocketCounters,
    protocol::{self, OTHER, TCP, UDP},
};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    container_sockets,
    container_sockets::ContainerSockets,
};

use super::{super::probe::ALONE, Setup, bind, connect, has_ipv6, loopback, print_run_times, words};

const DATAGRAMS: u64 = 100;
const DATA_BYTES: u64 = 1000;
pub(super) const UDP_HEADER_BYTES: u64 = 8;
/// With the option for timestamps, as in every segment but a SYN.
pub(super) const TCP_HEADER_BYTES: u64 = 32;
pub(super) const TRANSFER_BYTES: u64 = 32 << 20;

pub(super) fn ip_header_bytes(is_ipv6: bool) -> u64 {
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
fn cgroups_in_the_same_network_namespace_have_their_own_bytes() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let sockets = ContainerSockets::of(&cgroup);
    let snapshots = setup.snapshots.clone();
    let of_other = || super::row(&snapshots, &id).and_then(|row| row.sockets);
    super::tick_until("find the other one", &mut setup.engine, || of_other().is_some());
    let (first, outside) = (setup.udp(false), UdpSocket::bind(loopback(false)).unwrap());
    let second = sockets.socket(libc::AF_INET, libc::SOCK_DGRAM);
    bind(&second, loopback(false));
    let second = UdpSocket::from(second);
    exchange(&first, &outside);
    (0..2).for_each(|_| exchange(&second, &outside));
    exchange(&first, &second);
    let counts = [setup.read(), *of_other().unwrap()].map(|usage| usage.traffic);
    for (traffic, exchanges) in counts.iter().zip([2, 3]) {
        let packets = exchanges * DATAGRAMS;
        let bytes = packets * (DATA_BYTES + UDP_HEADER_BYTES + ip_header_bytes(false));
        assert_eq!((traffic.receive_packets[UDP], traffic.receive_bytes[UDP]), (packets, bytes));
        assert_eq!((traffic.transmit_packets[UDP], traffic.transmit_bytes[UDP]), (packets, bytes));
    }
}

#[test]
fn echoes_of_icmp_count_as_other() {
    const ICMP_HEADER_BYTES: u64 = 8;
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let socket = setup.sockets.socket_of(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP);
    // Requests to this address are sent from another one, so the socket receives only the responses.
    connect(&socket, (Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A request, with its checksum.
    let mut echo = [0; (ICMP_HEADER_BYTES + DATA_BYTES) as usize];
    echo[..4].copy_from_slice(&[8, 0, 0xf7, 0xff]);
    let mut received = [0; 2048];
    for _ in 0..DATAGRAMS {
        socket.send(&echo).unwrap();
        assert_eq!(socket.recv(&mut received).unwrap(), ip_header_bytes(false) as usize + echo.len());
    }
    let bytes = DATAGRAMS * (ip_header_bytes(false) + ICMP_HEADER_BYTES + DATA_BYTES);
    let only_other = |count: u64| {
        let mut counts = [0; protocol::COUNT];
        counts[OTHER] = count;
        counts
    };
    let expected = SocketCounters {
        receive_bytes: only_other(bytes),
        receive_packets: only_other(DATAGRAMS),
        transmit_bytes: only_other(bytes),
        transmit_packets: only_other(DATAGRAMS),
    };
    assert_eq!(setup.read().traffic, expected);
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
