//! Recognizes an agent that is listening on an address: by the header `Server` of its response, or, with TLS, by the configured
//! certificate. A server that requires client certificates shows its certificate, but does not respond.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};

use crate::{
    deadline::{Deadline, Limited},
    server::{self, web::LocalVerifier},
};

/// Timeout for everything.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of bytes that are read. The agent's headers have less than 1 KB.
const RESPONSE_MAX_BYTES: u64 = 8 * 1024;

/// Whether an agent answers at the address. `certificate` is the configured one, if TLS is configured.
pub(super) fn is_glassbox(address: SocketAddr, certificate: Option<&CertificateDer<'static>>) -> bool {
    let asked = match certificate {
        None => connect(address).and_then(|stream| ask(stream, address)),
        Some(certificate) => ask_with_tls(address, certificate),
    };
    asked.unwrap_or(false)
}

fn connect(address: SocketAddr) -> io::Result<Limited> {
    let deadline = Deadline::after(TIMEOUT);
    Ok(deadline.limit(TcpStream::connect_timeout(&address, deadline.left()?)?))
}

/// Requests the page, and reads the response until it is recognized as that of an agent.
fn ask(mut stream: impl Read + Write, address: SocketAddr) -> io::Result<bool> {
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut stream = stream.take(RESPONSE_MAX_BYTES);
    let (mut response, mut part) = (Vec::new(), [0; 4096]);
    while !is_response_of_agent(&response) {
        let length = stream.read(&mut part)?;
        if length == 0 {
            return Ok(false);
        }
        response.extend_from_slice(&part[..length]);
    }
    Ok(true)
}

/// Whether the beginning of a response is enough to recognize an agent.
fn is_response_of_agent(response: &[u8]) -> bool {
    let response = String::from_utf8_lossy(response);
    let head = response.find("\r\n\r\n").map_or(&*response, |end| &response[..end + 2]);
    // The last line may be incomplete.
    let lines = head.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    headers.any(|(name, value)| name.eq_ignore_ascii_case("server") && value.trim() == server::NAME)
}

fn ask_with_tls(address: SocketAddr, certificate: &CertificateDer<'static>) -> io::Result<bool> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(LocalVerifier::pinned(certificate.clone(), Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::from(address.ip());
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = connect(address)?;
    while connection.is_handshaking() {
        let shown = connection.complete_io(&mut stream);
        // TLS 1.2 requests the certificate of the client within the handshake.
        if shown.is_err() {
            return Ok(connection
                .peer_certificates()
                .is_some_and(|shown| shown.first() == Some(certificate)));
        }
    }
    // The verifier has accepted the certificate. If there is no response, a certificate of the client is required.
    let _ = ask(StreamOwned::new(connection, stream), address);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener, time::Instant};

    use super::*;

    #[test]
    fn an_agent_is_recognized_by_a_complete_header() {
        for (response, expected) in [
            ("HTTP/1.1 503 Service Unavailable\r\nServer: glassbox\r\n", true),
            ("HTTP/1.1 200 OK\r\nserver: glassbox\r\n\r\n<html>", true),
            ("HTTP/1.1 200 OK\r\nserver: glassbox", false),
            ("HTTP/1.1 200 OK\r\nserver: glassbox-proxy\r\n\r\n", false),
            ("HTTP/1.1 404 Not Found\r\n\r\nserver: glassbox\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_response_of_agent(response.as_bytes()), expected, "{response}");
        }
    }

    #[test]
    fn a_server_that_sends_one_byte_at_a_time_is_given_up_at_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Never joined: both connections end when the check gives up.
        std::thread::spawn(move || {
            for start in [&b"HTTP/1.1 200 OK\r\n"[..], b"\x16\x03\x03\x40\x00"] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(start).unwrap();
                while stream.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let certificate = CertificateDer::from(vec![0; 8]);
        for certificate in [None, Some(&certificate)] {
            let begun = Instant::now();
            assert!(!is_glassbox(address, certificate));
            let took = begun.elapsed();
            assert!(took >= TIMEOUT && took < 5 * TIMEOUT, "{took:?}");
        }
    }
}
