//! `glassbox health`: asks the agent of this host whether it is healthy. It is for health checks of containers: the images
//! have no shell and no curl.
//!
//! The request goes to `/healthz` at the configured address, which needs no password. The certificate of the agent is not
//! verified: nothing secret is sent, the address is one of this host, and a certificate that clients reject because it has
//! expired would otherwise restart a working agent.

mod answer;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, StreamOwned, crypto::ring, pki_types::ServerName,
};

use self::answer::Answer;
use crate::{
    config::{Config, web::WebConfig},
    deadline::Deadline,
    server::{
        address,
        web::{LocalVerifier, client_certificate},
    },
};

/// Which agent is asked, and how.
pub struct Options {
    /// Where the agent listens.
    pub listen: SocketAddr,
    /// The web configuration; `None` for plain HTTP.
    pub web_config: Option<PathBuf>,
    /// The certificate and the key to identify with, if the agent requires a client certificate.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Timeout for everything.
    pub timeout: Duration,
}

impl Options {
    /// The agent that runs with this configuration.
    #[must_use]
    pub fn of(config: &Config, client: Option<(PathBuf, PathBuf)>, timeout: Duration) -> Self {
        let web_config = config.server.web_config().map(ToOwned::to_owned);
        Self { listen: config.listen, web_config, client, timeout }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Asks the agent. Returns one line if the agent is healthy.
///
/// # Errors
/// The agent is unhealthy, does not respond in time, or nothing listens at the address.
pub fn ask(options: &Options) -> anyhow::Result<String> {
    anyhow::ensure!(
        options.listen.port() != 0,
        "the configured address {} has no fixed port; set `listen` or --listen to the agent's address",
        options.listen
    );
    let address = address::reachable(options.listen);
    let deadline = Deadline::after(options.timeout);
    let mut failure = None;
    for scheme in schemes(options) {
        let asked = request(options, address, scheme, deadline).with_context(|| {
            format!("ask the agent at {}://{address}/healthz (is it running?)", scheme.as_str())
        });
        match asked {
            Ok(answer) if answer.is_healthy() => return Ok(format!("healthy: {address}: {}", answer.text)),
            Ok(answer) => anyhow::bail!("unhealthy: {address}: status {}: {}", answer.status, answer.text),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow::anyhow!("nothing was asked")))
}

/// The schemes to try. If the web configuration cannot be read, an agent that runs keeps its previous one, which may have
/// TLS or not.
fn schemes(options: &Options) -> Vec<Scheme> {
    match options.web_config.as_deref().map(WebConfig::load) {
        None => vec![Scheme::Http],
        Some(Ok(web)) if web.tls.is_some() => vec![Scheme::Https],
        Some(Ok(_)) => vec![Scheme::Http],
        Some(Err(_)) => vec![Scheme::Https, Scheme::Http],
    }
}

fn request(
    options: &Options,
    address: SocketAddr,
    scheme: Scheme,
    deadline: Deadline,
) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, deadline.left()?).context("connect")?;
    let stream = deadline.limit(stream);
    match scheme {
        Scheme::Http => get(stream, address),
        Scheme::Https => {
            let connection = ClientConnection::new(tls(options)?, ServerName::from(address.ip()));
            get(StreamOwned::new(connection.context("start TLS")?, stream), address)
        }
    }
}

/// TLS without verification of the certificate, and with a client certificate if there is one.
fn tls(options: &Options) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("select the versions of TLS")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(LocalVerifier::any(provider)));
    let config = match &options.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, key) = client_certificate(certificate, key)?;
            builder.with_client_auth_cert(chain, key).context("use --cert-file with --key-file")?
        }
    };
    Ok(Arc::new(config))
}

fn get(mut stream: impl Read + Write, address: SocketAddr) -> anyhow::Result<Answer> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).and_then(|()| stream.flush());
    sent.map_err(remedied).context("send the request")?;
    Answer::read(stream).map_err(remedied)
}

/// An error with what to do about it, if the agent requires a client certificate.
fn remedied(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let alert = |cause: &(dyn std::error::Error + 'static)| {
        let inner = cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()?;
        let rustls::Error::AlertReceived(alert) = inner else { return None };
        Some(*alert)
    };
    // TLS 1.3 and TLS 1.2.
    let refused = [AlertDescription::CertificateRequired, AlertDescription::HandshakeFailure];
    if error.chain().filter_map(alert).any(|alert| refused.contains(&alert)) {
        error.context("the agent requires a client certificate; pass one with --cert-file and --key-file")
    } else {
        error
    }
}

#[cfg(test)]
mod tests;
