//! Recognizes an agent that is listening on an address: by its page, by its challenge for a password, or, with TLS, by the
//! configured certificate. A server that requires client certificates shows its certificate, but not its page.

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

use crate::server::{admission::CHALLENGE, web::LocalVerifier};

/// Timeout for the other program to accept a connection, and to respond.
const TIMEOUT: Duration = Duration::from_millis(500);
/// The title of the page must be within this many bytes.
const ANSWER_BYTES: u64 = 4096;

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

/// Requests the page and looks for the signs of an agent.
fn ask(mut stream: impl Read + Write, address: SocketAddr) -> io::Result<bool> {
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    // A reset after the title does not matter.
    let _ = stream.take(ANSWER_BYTES).read_to_end(&mut response);
    let response = String::from_utf8_lossy(&response);
    Ok(response.contains("<title>glassbox") || response.contains(CHALLENGE))
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
