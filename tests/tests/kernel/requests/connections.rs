//! Connections that are older than the agent, that reuse ports, or of which there are too many to keep.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::maps::{HashMap, Map, MapData, loaded_maps};
use glassbox_ebpf::requests::connection::{CONNECTIONS, Connection, ConnectionKey};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    container_sockets::ContainerSockets,
    inapplicable,
};

use super::{
    super::{
        probe::ALONE,
        sockets::{bind, connect, listener, loopback, shell, stream},
        starts::{engine, row, tick_until},
    },
    Counts, GET, OK, Server, Wire, config, ended, reject_packets, reset_on_close, set_option,
};

#[test]
fn a_connection_that_is_older_than_the_agent_is_followed_from_its_next_request_on() {
    let _alone = ALONE.lock();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let sockets = ContainerSockets::of(&cgroup);
    // The agent reads the ports of an older container from its network namespace.
    sockets.enter_a_new_network();
    if let Err(reason) = shell(&format!("nsenter --target {} --net ip link set lo up", sockets.pid())) {
        let test = "a_connection_that_is_older_than_the_agent_is_followed_from_its_next_request_on";
        return inapplicable(test, &reason);
    }
    let listener = listener(&sockets, false, 16);
    let address = listener.local_addr().unwrap();
    let open = || Wire::of(stream(&sockets, address).unwrap(), listener.accept().unwrap().0);
    let (mut idle, mut in_body, mut answering) = (open(), open(), open());
    in_body.client("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
    answering.client(GET);
    let (mut engine, snapshots) = engine(config());
    // The tick that finds the container also finds its port.
    tick_until("watch the port", &mut engine, || {
        row(&snapshots, &id).is_some_and(|row| row.requests.is_some())
    });
    idle.client(GET).server(OK);
    // Bytes of a body that do not look like a request: not followed. The next request is.
    in_body.client("x".repeat(1000)).server(OK).client(GET).server(OK);
    answering.server(OK).client(GET).server(OK);
    engine.tick();
    let usage = *row(&snapshots, &id).unwrap().requests.unwrap();
    let counts = Counts::of(&usage);
    assert_eq!(counts.responses, [(("GET", "2xx"), 3)].into());
    assert_eq!((counts.completed, usage.in_flight), (3, 0));
    assert!(counts.opaque.is_empty(), "{counts:?}");
}

/// A client with a fixed port.
fn from_port(port: u16, to: SocketAddr) -> TcpStream {
    // SAFETY: no pointers; the new descriptor has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0)) };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32);
    bind(&socket, (Ipv4Addr::LOCALHOST, port).into());
    connect(&socket, to).unwrap();
    socket.into()
}

#[test]
fn a_connection_with_the_ports_of_a_former_one_is_a_new_one() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let port = {
        let free = std::net::TcpListener::bind(loopback(false)).unwrap();
        free.local_addr().unwrap().port()
    };
    // Each connection is left in another state.
    for left in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHo",
        "POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\nxxx",
        GET,
        "\x16\x03\x01",
    ] {
        let client = from_port(port, server.address());
        let mut wire = Wire::of(client, server.listener.accept().unwrap().0);
        (0..3).for_each(|_| _ = wire.client(GET).server(OK));
        wire.client(left);
        reset_on_close(&wire.client);
        drop(wire.client);
        ended(&mut wire.server);
        let counts = server.counts();
        assert_eq!((counts.responses(), counts.completed), (3, 3), "after {left:?}");
    }
    assert_eq!(server.usage().in_flight, 0);
}

#[test]
fn requests_of_a_connection_that_ends_without_a_packet_are_aborted() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let [mut waiting, mut answering, mut streaming, mut idle] = [(); 4].map(|()| server.connect());
    waiting.client(GET);
    answering.client(GET).server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello");
    streaming.client(GET).server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n");
    idle.client(GET).server(OK);
    let usage = server.usage();
    assert_eq!((usage.in_flight, usage.streams), (2, 1));
    let sent = [&waiting, &answering, &streaming, &idle].map(|wire| wire.response_bytes).iter().sum::<u64>();
    let clients = [waiting, answering, streaming, idle].map(|wire| {
        // Closes the socket without telling the other side.
        set_option(&wire.server, libc::IPPROTO_TCP, libc::TCP_REPAIR, &1_i32);
        wire.client
    });
    let usage = server.usage();
    assert_eq!((usage.in_flight, usage.streams), (0, 0));
    // A request for which there is no socket any more. The kernel answers with a reset.
    let [.., mut idle] = clients;
    io::Write::write_all(&mut idle, GET.as_bytes()).unwrap();
    ended(&mut idle);
    assert_eq!((server.usage().in_flight, server.usage().unanswered), (0, 0));
    let counts = server.counts();
    assert_eq!((counts.aborted_by_client, counts.aborted_by_server, counts.streams), (0, 3, 0));
    assert_eq!((counts.responses(), counts.response_bytes), (3, sent));
}

#[test]
fn a_response_is_aborted_when_the_kernel_gives_up_because_the_client_is_gone() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    wire.client(GET);
    let limit_ms = 300_i32;
    set_option(&wire.server, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &limit_ms);
    reject_packets(&wire.client);
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\nhello";
    io::Write::write_all(&mut wire.server, response.as_bytes()).unwrap();
    let counts = server.counts_when("give up", |counts| counts.aborted_by_client > 0);
    assert_eq!((counts.responses(), counts.aborted_by_client, counts.aborted_by_server), (1, 1, 0));
    assert_eq!((counts.response_bytes, server.usage().in_flight), (response.len() as u64, 0));
}

#[test]
fn a_request_is_aborted_by_its_client_when_keepalive_finds_that_the_client_is_gone() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut wire = server.connect();
    wire.client(GET);
    set_option(&wire.server, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1_i32);
    for option in [libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT] {
        set_option(&wire.server, libc::IPPROTO_TCP, option, &1_i32);
    }
    reject_packets(&wire.client);
    let aborted = |counts: &Counts| counts.aborted_by_client + counts.aborted_by_server > 0;
    let counts = server.counts_when("give up", aborted);
    assert_eq!((counts.aborted_by_client, counts.aborted_by_server), (1, 0));
    assert_eq!(server.usage().in_flight, 0);
}

/// More connections than the agent keeps.
const MANY: usize = 20_000;
/// Connections that are open at the same time; the limit of descriptors and ports.
const AT_ONCE: usize = 400;

#[test]
fn a_flood_of_connections_leaves_the_counts_of_another_container_exact() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let (flooded, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let sockets = ContainerSockets::of(&flooded);
    // A port is watched from the start of listening only if the agent has found the container.
    let snapshots = server.setup.snapshots.clone();
    tick_until("find the flooded container", &mut server.setup.engine, || {
        row(&snapshots, &id).is_some_and(|row| row.sockets.is_some())
    });
    let target = listener(&sockets, false, 1024);
    let to = target.local_addr().unwrap();
    let mut wires: Vec<_> = (0..8).map(|_| server.connect()).collect();
    // Has no packets meanwhile, so its entry in the map is the least recently used one.
    let mut waiting = server.connect();
    waiting.client(GET);
    let mut opened = 0;
    while opened < MANY {
        let clients: Vec<TcpStream> = (0..AT_ONCE).map(|_| TcpStream::connect(to).unwrap()).collect();
        for client in &clients {
            let accepted = target.accept().unwrap().0;
            io::Write::write_all(&mut &*client, b"GET /never-complete HT").unwrap();
            opened += 1;
            reset_on_close(client);
            drop(accepted);
        }
        wires.iter_mut().for_each(|wire| _ = wire.client(GET).server(OK));
    }
    assert_eq!(server.usage().in_flight, 1);
    wires.push(waiting);
    wires.last_mut().unwrap().server(OK);
    let expected = (MANY / AT_ONCE * (wires.len() - 1)) as u64 + 1;
    let counts = server.counts();
    assert_eq!((counts.responses(), counts.completed), (expected, expected));
    assert_eq!(counts.response_bytes, wires.iter().map(|wire| wire.response_bytes).sum::<u64>());
    assert!(counts.opaque.is_empty(), "{counts:?}");
    assert!(row(&snapshots, &id).unwrap().requests.is_some(), "the port of the flooded container is watched");
    assert_eq!(kept_connections(), wires.len(), "connections that have ended take no space");
    drop(target);
}

/// The map of connections.
fn connections() -> MapData {
    let mut maps = loaded_maps().flatten();
    let info = maps.find(|map| map.name_as_str() == Some("REQUEST_CONNECT")).unwrap();
    MapData::from_id(info.id()).unwrap()
}

/// The number of connections that the kernel programs keep.
pub(super) fn kept_connections() -> usize {
    let map = Map::LruHashMap(connections());
    HashMap::<_, ConnectionKey, Connection>::try_from(map).unwrap().keys().flatten().count()
}

#[test]
fn the_map_of_connections_takes_at_most_4_mib() {
    const ENTRIES_BYTES: usize =
        CONNECTIONS as usize * (size_of::<ConnectionKey>() + size_of::<Connection>());
    let _alone = ALONE.lock();
    let _server = Server::new();
    let map = connections();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd())).unwrap();
    let memory = info.lines().find_map(|line| line.strip_prefix("memlock:")).unwrap();
    let bytes: usize = memory.trim().parse().unwrap();
    println!("{bytes} bytes, {ENTRIES_BYTES} of them keys and values");
    // Kernels from 5.11 to 6.3 report only keys and values; others report what they allocate.
    assert!((ENTRIES_BYTES..=4 << 20).contains(&bytes), "{bytes}");
}
