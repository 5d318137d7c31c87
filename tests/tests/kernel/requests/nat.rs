//! A server whose own network namespace translates ports, as sidecar proxies and published ports do: received packets have the
//! server's port, sent ones that of the client's request.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd as _,
};

use glassbox_tests::{
    inapplicable,
    veth::{INSIDE, Interfaces, Kind},
};

use super::{
    super::{
        probe::ALONE,
        sockets::{Setup, bind, interfaces::connect, shell},
    },
    Counts, GET, OK, Server, Wire, config,
};

/// The port to which clients connect.
const PORT: u16 = 80;

fn setup() -> Result<(Interfaces, Server), String> {
    let setup = Setup::shared(config());
    let interfaces = connect(&setup, Kind::Veth)?;
    let socket = setup.sockets.socket(libc::AF_INET, libc::SOCK_STREAM);
    bind(&socket, (INSIDE, 0).into());
    // SAFETY: no pointers; the socket is open.
    assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 16) }, 0, "{}", std::io::Error::last_os_error());
    let listener = TcpListener::from(socket);
    let to = listener.local_addr().unwrap().port();
    let pid = setup.sockets.pid();
    let rule = format!("PREROUTING -p tcp --dport {PORT} -j REDIRECT --to-ports {to}");
    shell(&format!("nsenter --target {pid} --net iptables -t nat -A {rule}"))?;
    Ok((interfaces, Server { setup, listener, before: Counts::default() }))
}

#[test]
fn requests_to_a_port_that_the_container_redirects_are_counted() {
    let _alone = ALONE.lock();
    let (_interfaces, mut server) = match setup() {
        Ok(made) => made,
        Err(reason) => {
            return inapplicable("requests_to_a_port_that_the_container_redirects_are_counted", &reason);
        }
    };
    let mut wires: Vec<_> = (0..3)
        .map(|_| Wire::of(TcpStream::connect((INSIDE, PORT)).unwrap(), server.listener.accept().unwrap().0))
        .collect();
    wires.iter_mut().for_each(|wire| _ = wire.client(GET).server(OK).client(GET).server(OK));
    let sent: u64 = wires.iter().map(|wire| wire.response_bytes).sum();
    let mut last = wires.pop().unwrap();
    last.client(GET);
    assert_eq!(server.usage().in_flight, 1);
    last.server(OK);
    drop((wires, last));
    let counts = server.counts();
    assert_eq!((counts.responses(), counts.completed), (7, 7));
    assert_eq!(counts.response_bytes, sent + OK.len() as u64);
    assert_eq!(server.usage().in_flight, 0);
}
