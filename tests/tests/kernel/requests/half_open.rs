//! Attempts to open a connection that are never completed: only the first segment of each handshake arrives.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket},
    os::fd::{FromRawFd as _, OwnedFd},
};

use glassbox::snapshot::{requests::RequestUsage, sockets::protocol::TCP};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    container_sockets::ContainerSockets,
};

use super::{
    super::{
        probe::ALONE,
        sockets::listener,
        starts::{row, tick_until},
    },
    Counts, GET, OK, Server,
    connections::kept_connections,
    reject_packets,
};

const ATTEMPTS: u32 = 100_000;
/// The first address of the clients, each of which has another one.
const CLIENTS: u32 = u32::from_be_bytes([127, 1, 0, 0]);

const IP_HEADER_BYTES: usize = 20;
const TCP_HEADER_BYTES: usize = 20;

/// The first segment of a handshake in an IPv4 packet. The kernel adds the length and the checksum of the IP header.
fn first_segment(from: SocketAddrV4, to: SocketAddrV4) -> [u8; IP_HEADER_BYTES + TCP_HEADER_BYTES] {
    const SYN: u8 = 2;
    let mut packet = [0; IP_HEADER_BYTES + TCP_HEADER_BYTES];
    (packet[0], packet[8], packet[9]) = (0x45, 64, libc::IPPROTO_TCP as u8);
    packet[12..16].copy_from_slice(&from.ip().octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[20..22].copy_from_slice(&from.port().to_be_bytes());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    (packet[32], packet[33]) = ((TCP_HEADER_BYTES as u8 / 4) << 4, SYN);
    packet[34..36].copy_from_slice(&u16::MAX.to_be_bytes());
    // The checksum of TCP includes the addresses, the protocol and the length.
    let word = |at: usize| u32::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let words: u32 = (12..packet.len()).step_by(2).map(word).sum();
    let sum = words + libc::IPPROTO_TCP as u32 + TCP_HEADER_BYTES as u32;
    let folded = (sum >> 16) + (sum & 0xffff);
    packet[36..38].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    packet
}

/// Sends the first segments of handshakes, from one port of many addresses.
fn attempt(from_port: u16, to: SocketAddr) {
    let SocketAddr::V4(server) = to else { panic!("not an IPv4 address: {to}") };
    // SAFETY: no pointers; the new descriptor has no other owner.
    let raw = unsafe {
        OwnedFd::from_raw_fd(libc::socket(
            libc::AF_INET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::IPPROTO_RAW,
        ))
    };
    // For its send_to, which is the same for raw sockets.
    let raw = UdpSocket::from(raw);
    for number in 0..ATTEMPTS {
        let client = SocketAddrV4::new(Ipv4Addr::from(CLIENTS + number), from_port);
        raw.send_to(&first_segment(client, server), to).unwrap();
    }
}

/// The number of handshakes that a listening port waits for.
fn waiting(port: u16) -> usize {
    const SYN_RECV: &str = "03";
    let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let is_waiting = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields[1].ends_with(&port) && fields[3] == SYN_RECV
    };
    table.lines().filter(is_waiting).count()
}

#[test]
fn half_open_connections_are_not_kept_and_leave_the_counts_of_another_container_exact() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let sockets = ContainerSockets::of(&cgroup);
    let snapshots = server.setup.snapshots.clone();
    tick_until("find the attacked container", &mut server.setup.engine, || {
        row(&snapshots, &id).is_some_and(|row| row.sockets.is_some())
    });
    let target = listener(&sockets, false, 1024);
    let to = target.local_addr().unwrap();
    // The answers to the first segments arrive at this socket, which does not reject the connection.
    let silent = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    reject_packets(&silent);
    let mut wires: Vec<_> = (0..8).map(|_| server.connect()).collect();
    wires.iter_mut().for_each(|wire| _ = wire.client(GET).server(OK));
    let mut unanswered = server.connect();
    unanswered.client(GET);
    assert_eq!(server.counts().completed, 8);
    let kept = kept_connections();
    attempt(silent.local_addr().unwrap().port(), to);
    let half_open = waiting(to.port());
    println!("{half_open} handshakes wait, {kept} connections are kept");
    assert!(half_open > 100, "{half_open}");
    assert_eq!(kept_connections(), kept);
    wires.iter_mut().for_each(|wire| _ = wire.client(GET).server(OK));
    unanswered.server(OK);
    let expected = Counts {
        responses: [(("GET", "2xx"), 9)].into(),
        completed: 9,
        request_bytes: 8 * GET.len() as u64,
        response_bytes: 9 * OK.len() as u64,
        ..Counts::default()
    };
    assert_eq!(server.counts(), expected);
    let attacked = row(&snapshots, &id).unwrap();
    let received = attacked.sockets.unwrap().traffic.receive_packets[TCP];
    println!("{received} segments received");
    assert!(received >= u64::from(ATTEMPTS) * 99 / 100, "{received}");
    assert_eq!(attacked.requests.as_deref(), Some(&RequestUsage::default()), "the port is watched");
}
