//! Ways in which clients reach a server: IPv6, IPv4 at an IPv6 socket, and several sockets with the same port.

use std::{
    net::{Ipv4Addr, TcpStream},
    os::fd::AsRawFd as _,
};

use glassbox_tests::inapplicable;

use super::{
    super::{
        probe::ALONE,
        sockets::{bind, domain, has_ipv6},
    },
    Counts, GET, OK, Server, Wire, set_option,
};

/// Sends requests, and asserts that these and nothing else were counted.
pub(super) fn assert_served(server: &mut Server, wire: &mut Wire, what: &str) {
    (0..3).for_each(|_| _ = wire.client(GET).server(OK));
    let expected = Counts {
        responses: [(("GET", "2xx"), 3)].into(),
        completed: 3,
        request_bytes: wire.request_bytes,
        response_bytes: wire.response_bytes,
        ..Counts::default()
    };
    assert_eq!(server.counts(), expected, "{what}");
}

#[test]
fn requests_over_ipv6_are_counted() {
    let _alone = ALONE.lock();
    if !has_ipv6() {
        return inapplicable("requests_over_ipv6_are_counted", "no IPv6");
    }
    let mut server = Server::at(true);
    let mut wire = server.connect();
    assert_served(&mut server, &mut wire, "IPv6");
}

#[test]
fn requests_over_ipv4_to_a_socket_of_ipv6_are_counted() {
    let _alone = ALONE.lock();
    if !has_ipv6() {
        return inapplicable("requests_over_ipv4_to_a_socket_of_ipv6_are_counted", "no IPv6");
    }
    let mut server = Server::new();
    let socket = server.setup.sockets.socket(libc::AF_INET6, libc::SOCK_STREAM);
    bind(&socket, (std::net::Ipv6Addr::UNSPECIFIED, 0).into());
    // SAFETY: no pointers; the socket is open.
    assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 16) }, 0);
    let listener = std::net::TcpListener::from(socket);
    let to = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
    let mut wire = Wire::of(TcpStream::connect(to).unwrap(), listener.accept().unwrap().0);
    assert_served(&mut server, &mut wire, "IPv4 at an IPv6 socket");
}

#[test]
fn requests_to_sockets_that_share_a_port_are_counted() {
    let _alone = ALONE.lock();
    let mut server = Server::new();
    let mut listeners: Vec<std::net::TcpListener> = Vec::new();
    for _ in 0..2 {
        let socket = server.setup.sockets.socket(domain(false), libc::SOCK_STREAM);
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, &1_i32);
        let port = listeners.first().map_or(0, |first| first.local_addr().unwrap().port());
        bind(&socket, (Ipv4Addr::LOCALHOST, port).into());
        // SAFETY: no pointers; the socket is open.
        assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 16) }, 0);
        listeners.push(socket.into());
    }
    let address = listeners[0].local_addr().unwrap();
    listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
    for number in 0..8 {
        let client = TcpStream::connect(address).unwrap();
        let accepted = glassbox_tests::docker::eventually(
            "one of them accepts",
            std::time::Duration::from_secs(10),
            || listeners.iter().find_map(|listener| listener.accept().ok()),
        );
        accepted.0.set_nonblocking(false).unwrap();
        assert_served(&mut server, &mut Wire::of(client, accepted.0), &format!("connection {number}"));
    }
}
