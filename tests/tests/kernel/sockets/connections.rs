//! TCP connections and listening ports.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use super::{super::probe::ALONE, Setup, has_ipv6, loopback, print_run_times};

const CONNECTIONS: u64 = 5000;

/// Opens connections one after the other, each of which is closed by the client and then by the server.
fn connect_and_close(server: &TcpListener, mut connect: impl FnMut() -> TcpStream) {
    for _ in 0..CONNECTIONS {
        let mut client = connect();
        let mut accepted = server.accept().unwrap().0;
        client.write_all(b"x").unwrap();
        drop(client);
        let mut received = Vec::new();
        accepted.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"x");
    }
}

#[test]
fn accepted_connections_are_counted_exactly() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let server = setup.listener(false, 128);
    let address = server.local_addr().unwrap();
    let measured = aya::sys::enable_stats(aya::sys::Stats::RunTime);
    connect_and_close(&server, || TcpStream::connect(address).unwrap());
    let read = setup.read_until("close all", |usage| usage.connections.closed >= CONNECTIONS);
    print_run_times();
    drop(measured);
    let counts = read.connections;
    assert_eq!((counts.accepted, counts.closed, counts.opened), (CONNECTIONS, CONNECTIONS, 0));
    assert_eq!((read.open, counts.failed), (Some(0), 0));
    assert!(counts.round_trips.count() >= CONNECTIONS, "{}", counts.round_trips.count());
    let mean_ns = counts.round_trips.sum_ns / counts.round_trips.count();
    println!("mean round trip {mean_ns} ns");
    assert!(mean_ns < 100_000_000, "on loopback: {mean_ns} ns");
    let held = TcpStream::connect(address).unwrap();
    let accepted = server.accept().unwrap();
    assert_eq!(setup.read().open, Some(1));
    drop((held, accepted));
    setup.read_until("close the last", |usage| usage.open == Some(0));
}

#[test]
fn opened_connections_are_counted_exactly_and_failed_ones_apart() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let server = TcpListener::bind(loopback(false)).unwrap();
    let address = server.local_addr().unwrap();
    connect_and_close(&server, || setup.stream(address).unwrap());
    drop(server);
    for _ in 0..3 {
        assert!(setup.stream(address).is_err(), "nothing listens there any more");
    }
    let read = setup.read_until("close all", |usage| usage.connections.closed >= CONNECTIONS);
    let counts = read.connections;
    assert_eq!((counts.opened, counts.closed, counts.accepted), (CONNECTIONS, CONNECTIONS, 0));
    assert_eq!((counts.failed, read.open), (3, Some(0)));
    assert_eq!(counts.resets_received, 3);
}

#[test]
fn a_port_is_listed_while_any_socket_of_the_container_listens_on_it() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    assert_eq!(setup.read().listening_ports, [0; 0]);
    let mut servers = vec![setup.listener(false, 1)];
    if has_ipv6() {
        servers.push(setup.listener(true, 1));
    }
    let _foreign = TcpListener::bind(loopback(false)).unwrap();
    let mut ports: Vec<u16> = servers.iter().map(|server| server.local_addr().unwrap().port()).collect();
    ports.sort_unstable();
    assert_eq!(setup.read().listening_ports, ports);
    // A connection on the port does not keep it in the list.
    let address = servers[0].local_addr().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let _accepted = servers[0].accept().unwrap();
    drop(servers.remove(0));
    ports.retain(|port| *port != address.port());
    let read = setup.read_until("close the port", |usage| usage.listening_ports == ports);
    assert_eq!(read.open, Some(1));
}

#[test]
fn a_container_with_many_listening_ports_uses_only_its_share() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let servers: Vec<_> = (0..70).map(|_| setup.listener(false, 1)).collect();
    let read = setup.read();
    assert_eq!((read.listening_ports.len(), read.connections.ports_entered), (32, 64));
    assert!(read.listening_ports.is_sorted());
    assert_eq!(super::super::starts::lost(&setup.snapshots, "socket_listeners"), 6);
    drop(servers);
    let read = setup.read_until("close all", |usage| usage.listening_ports.is_empty());
    assert_eq!(read.connections.ports_removed, 64);
}
