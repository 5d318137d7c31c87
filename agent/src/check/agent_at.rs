//! Recognizes an agent that is listening on an address: by the header `Server` of its response, or, with TLS, by the configured
//! certificate. A server that requires client certificates shows its certificate, but does not respond.
//!
//! Agents of early builds of 0.1.0 do not send the header, and are recognized by their challenge for a password or by the title of
//! their page. Remove this when no such agent runs any more.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};

use crate::server::{self, admission::CHALLENGE, web::LocalVerifier};

/// Timeout for the other program to accept a connection, and for each read and write.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Timeout for the whole response. The other program may send one byte at a time.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of bytes that are read. The title of an agent without the header follows some 4 KiB of styles.
const RESPONSE_MAX_BYTES: u64 = 64 * 1024;

/// Whether an agent answers at the address. `certificate` is the configured one, if TLS is configured.
pub(super) fn is_glassbox(address: SocketAddr, certificate: Option<&CertificateDer<'static>>) -> bool {
    let asked = match certificate {
        None => connect(address).and_then(|stream| ask(stream, address)),
        Some(certificate) => ask_with_tls(address, certificate),
    };
    asked.unwrap_or(false)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Requests the page, and reads the response until it is recognized as that of an agent.
fn ask(mut stream: impl Read + Write, address: SocketAddr) -> io::Result<bool> {
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let deadline = Instant::now() + RESPONSE_TIMEOUT;
    let mut stream = stream.take(RESPONSE_MAX_BYTES);
    let (mut response, mut part) = (Vec::new(), [0; 4096]);
    while !is_response_of_agent(&response) {
        // An error, such as a reset, ends the response.
        let length = stream.read(&mut part).unwrap_or(0);
        if length == 0 || Instant::now() > deadline {
            return Ok(false);
        }
        response.extend_from_slice(&part[..length]);
    }
    Ok(true)
}

/// Whether the beginning of a response is enough to recognize an agent.
fn is_response_of_agent(response: &[u8]) -> bool {
    let response = String::from_utf8_lossy(response);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let has_name = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.eq_ignore_ascii_case("server") && value.trim() == server::NAME);
    has_name || head.contains(CHALLENGE) || body.contains("<title>glassbox")
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
