//! The ports whose requests are counted.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd as _,
};

use glassbox::config::{Config, Requests};
use glassbox_tests::service::free_address;

use super::{
    super::{
        probe::ALONE,
        sockets::{bind, domain},
        starts::{row, tick_until},
    },
    Counts, GET, OK, Server, Wire,
    clients::assert_served,
    config,
};

#[test]
fn only_requests_to_the_configured_ports_are_counted() {
    let _alone = ALONE.lock();
    let address = free_address();
    let requests = Requests { ports: vec![address.port()], ..config().requests };
    let mut server = Server::with(Config { requests, ..config() });
    let mut other = server.connect();
    other.client(GET).server(OK);
    assert_eq!(server.counts(), Counts::default());
    assert!(row(&server.setup.snapshots, &server.setup.id).unwrap().requests.is_none(), "no port to watch");
    let socket = server.setup.sockets.socket(domain(false), libc::SOCK_STREAM);
    bind(&socket, address);
    // SAFETY: no pointers; the socket is open.
    assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 16) }, 0, "{}", io::Error::last_os_error());
    let configured = TcpListener::from(socket);
    let (snapshots, id) = (server.setup.snapshots.clone(), server.setup.id.clone());
    tick_until("watch the configured port", &mut server.setup.engine, || {
        row(&snapshots, &id).unwrap().requests.is_some()
    });
    let mut wire = Wire::of(TcpStream::connect(address).unwrap(), configured.accept().unwrap().0);
    let mut another = server.connect();
    for wire in [&mut other, &mut another] {
        (0..5).for_each(|_| _ = wire.client(GET).server(OK));
    }
    assert_served(&mut server, &mut wire, "the configured port");
}
