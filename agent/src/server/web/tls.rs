//! TLS with rustls: the versions, the certificate, and the verification of client certificates.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

use super::certificate::{Certificate, key_concern, read_certificates, read_key};
use crate::config::web::{ClientAuth, TlsServer, TlsVersion};

/// TLS in force.
pub struct Tls {
    /// Performs handshakes.
    pub acceptor: TlsAcceptor,
    /// The agent's certificate.
    pub certificate: Certificate,
    /// Whether every client needs a certificate.
    pub requires_client_certificate: bool,
    /// Why the private key is unsafe, if it is.
    pub key_concern: Option<String>,
}

impl Tls {
    pub(super) fn load(config: &TlsServer) -> anyhow::Result<Self> {
        let certificate = Certificate::read(&config.cert_file)?;
        let key = read_key(&config.key_file)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(config.min_version, config.max_version))
            .context("select the versions of TLS")?;
        let builder = match &config.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::IfGiven { ca_file } => {
                builder.with_client_cert_verifier(verifier(ca_file, provider, false)?)
            }
            ClientAuth::Required { ca_file } => {
                builder.with_client_cert_verifier(verifier(ca_file, provider, true)?)
            }
        };
        let mut server = builder.with_single_cert(certificate.chain.clone(), key).with_context(|| {
            format!(
                "use cert_file {} with key_file {} (do they belong together?)",
                config.cert_file.display(),
                config.key_file.display()
            )
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            certificate,
            requires_client_certificate: matches!(config.client_auth, ClientAuth::Required { .. }),
            key_concern: key_concern(&config.key_file),
        })
    }
}

fn versions(min: TlsVersion, max: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    all.into_iter().filter(|(version, _)| (min..=max).contains(version)).map(|(_, version)| version).collect()
}

fn verifier(
    ca_file: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
    required: bool,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(ca_file, "client_ca_file")? {
        roots
            .add(certificate)
            .with_context(|| format!("use a certificate in client_ca_file {}", ca_file.display()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().with_context(|| format!("use client_ca_file {}", ca_file.display()))
}
