//! Checks whether the HTTP listener can bind its address, and if not, whether an agent is already listening on it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::{Report, RowState, agent_at::is_glassbox};
use crate::server::{
    address::{reachable, remedy},
    web::Settings,
};

/// Makes the row `listener`.
pub(super) fn check(report: &mut Report, address: SocketAddr, settings: &Settings) {
    let certificate = settings.tls.as_ref().and_then(|tls| tls.certificate.chain.first());
    let scheme = if certificate.is_some() { "https" } else { "http" };
    match TcpListener::bind(address) {
        Ok(_) => report.ok("listener", format!("{address} is free")),
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse && is_glassbox(reachable(address), certificate) =>
        {
            report
                .ok("listener", format!("a glassbox agent is running at {scheme}://{}/", reachable(address)));
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn checked(address: SocketAddr) -> (RowState, String) {
        let mut report = Report::default();
        check(&mut report, address, &Settings::default());
        (report.rows()[0].state, report.rows()[0].finding.clone())
    }

    #[test]
    fn a_free_port_is_ok_and_a_used_one_is_fatal_unless_an_agent_uses_it() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        // Never joined: if the check does not connect, this thread would wait forever.
        std::thread::spawn(move || {
            for answer in [
                "HTTP/1.1 404 Not Found\r\nserver: glassbox-proxy\r\n\r\nserver: glassbox\r\n",
                "HTTP/1.1 503 Service Unavailable\r\nserver: glassbox\r\n\r\nno snapshot yet\n",
                "HTTP/1.1 401 Unauthorized\r\nserver: glassbox\r\nwww-authenticate: Basic realm=\"glassbox\"\r\n\r\n",
            ] {
                let (mut stream, _) = holder.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let (state, finding) = checked(address);
        assert_eq!(state, RowState::Fatal);
        assert!(finding.contains("--listen") && finding.contains(&address.to_string()), "{finding}");
        for _ in 0..2 {
            let (state, finding) = checked(address);
            assert_eq!(state, RowState::Ok, "{finding}");
            assert!(finding.contains("a glassbox agent is running"), "{finding}");
        }
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
