//! Checks whether the HTTP listener can bind its address, and if not, whether an agent is already listening on it.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use super::{Report, RowState};
use crate::server::address::remedy;

/// Timeout for the other program to accept a connection, and to respond.
const TIMEOUT: Duration = Duration::from_millis(500);
/// The title of the page must be within this many bytes.
const ANSWER_BYTES: u64 = 4096;

/// Makes the row `listener`.
pub(super) fn check(report: &mut Report, address: SocketAddr) {
    match TcpListener::bind(address) {
        Ok(_) => report.ok("listener", format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_glassbox(address) => {
            report.ok("listener", format!("a glassbox agent is running at http://{}/", reachable(address)));
        }
        Err(error) => {
            report.row(
                "listener",
                RowState::Fatal,
                format!("listen on {address}: {error}; {}", remedy(&error)),
            );
        }
    }
}

/// Whether an agent serves its page at the address.
fn is_glassbox(address: SocketAddr) -> bool {
    let address = reachable(address);
    let fetch = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut response = Vec::new();
        // A reset after the title does not matter.
        let _ = stream.take(ANSWER_BYTES).read_to_end(&mut response);
        Ok(response)
    };
    fetch().is_ok_and(|response| String::from_utf8_lossy(&response).contains("<title>glassbox"))
}

/// The address at which the listener can be reached from this host.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(address: SocketAddr) -> (RowState, String) {
        let mut report = Report::default();
        check(&mut report, address);
        (report.rows()[0].state, report.rows()[0].finding.clone())
    }

    #[test]
    fn a_free_port_is_ok_and_a_used_one_is_fatal_unless_an_agent_uses_it() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        // Never joined: if the check does not connect, this thread would wait forever.
        std::thread::spawn(move || {
            for answer in ["HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n<title>glassbox on h"] {
                let (mut stream, _) = holder.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let (state, finding) = checked(address);
        assert_eq!(state, RowState::Fatal);
        assert!(finding.contains("--listen") && finding.contains(&address.to_string()), "{finding}");
        let (state, finding) = checked(address);
        assert_eq!(state, RowState::Ok, "{finding}");
        assert!(finding.contains("a glassbox agent is running"), "{finding}");
        assert_eq!(checked("127.0.0.1:0".parse().unwrap()).0, RowState::Ok);
    }

    #[test]
    fn an_address_of_another_host_gets_its_own_remedy() {
        // An address of TEST-NET-1, which is reserved for documentation.
        let (state, finding) = checked("192.0.2.1:9966".parse().unwrap());
        assert_eq!(state, RowState::Fatal);
        assert!(
            finding.contains("not an address of this host") && !finding.contains("another agent"),
            "{finding}"
        );
    }
}
