//! `tls_server_config`: certificate, key, client certificates and TLS versions.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de::Error as _};

/// `tls_server_config`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Keys")]
pub struct TlsServer {
    /// The certificate, and those of intermediate CAs, in PEM.
    pub cert_file: PathBuf,
    /// The private key, in PEM.
    pub key_file: PathBuf,
    /// Whether clients need certificates.
    pub client_auth: ClientAuth,
    /// The oldest accepted version of TLS.
    pub min_version: TlsVersion,
    /// The newest accepted version of TLS.
    pub max_version: TlsVersion,
}

/// Whether clients need certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is requested.
    None,
    /// A certificate is verified if the client has one.
    IfGiven {
        /// The certificates of the CAs, in PEM.
        ca_file: PathBuf,
    },
    /// Every client needs a certificate.
    Required {
        /// The certificates of the CAs, in PEM.
        ca_file: PathBuf,
    },
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The keys as they are in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    cert_file: PathBuf,
    key_file: PathBuf,
    #[serde(default)]
    client_auth_type: ClientAuthType,
    #[serde(default)]
    client_ca_file: PathBuf,
    #[serde(default)]
    min_version: Option<TlsVersion>,
    #[serde(default)]
    max_version: Option<TlsVersion>,
}

#[derive(Clone, Copy, Default)]
enum ClientAuthType {
    #[default]
    None,
    IfGiven,
    Required,
}

impl<'de> Deserialize<'de> for ClientAuthType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" | "NoClientCert" => Ok(Self::None),
            "VerifyClientCertIfGiven" => Ok(Self::IfGiven),
            "RequireAndVerifyClientCert" => Ok(Self::Required),
            unverified @ ("RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert") => {
                Err(D::Error::custom(format!(
                    "{unverified:?} is not supported, because it accepts every certificate without verification; use \
                     RequireAndVerifyClientCert, or VerifyClientCertIfGiven"
                )))
            }
            other => Err(D::Error::custom(format!(
                "{other:?} is not allowed; use NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            old @ ("TLS10" | "TLS11") => Err(D::Error::custom(format!(
                "{old:?} is not supported, because it is insecure; use TLS12 or TLS13"
            ))),
            other => Err(D::Error::custom(format!("{other:?} is not allowed; use TLS12 or TLS13"))),
        }
    }
}

impl TryFrom<Keys> for TlsServer {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys { cert_file, key_file, client_ca_file: ca_file, .. } = keys;
        for (key, path) in [("cert_file", &cert_file), ("key_file", &key_file)] {
            if path.as_os_str().is_empty() {
                return Err(format!("{key} is empty; set it to the path of a PEM file"));
            }
        }
        let has_ca = !ca_file.as_os_str().is_empty();
        let client_auth = match keys.client_auth_type {
            ClientAuthType::None if has_ca => {
                return Err(
                    "client_ca_file has no effect without client_auth_type; set client_auth_type to \
                            RequireAndVerifyClientCert"
                        .into(),
                );
            }
            ClientAuthType::None => ClientAuth::None,
            _ if !has_ca => {
                return Err(
                    "client_auth_type needs client_ca_file, the certificate of the CA that issues the \
                            certificates of clients"
                        .into(),
                );
            }
            ClientAuthType::IfGiven => ClientAuth::IfGiven { ca_file },
            ClientAuthType::Required => ClientAuth::Required { ca_file },
        };
        let min_version = keys.min_version.unwrap_or(TlsVersion::Tls12);
        let max_version = keys.max_version.unwrap_or(TlsVersion::Tls13);
        if min_version > max_version {
            return Err("min_version TLS13 is newer than max_version TLS12; no client could connect".into());
        }
        Ok(Self { cert_file, key_file, client_auth, min_version, max_version })
    }
}

impl TlsServer {
    pub(super) fn resolve_paths(&mut self, directory: &Path) {
        let ca_file = match &mut self.client_auth {
            ClientAuth::None => None,
            ClientAuth::IfGiven { ca_file } | ClientAuth::Required { ca_file } => Some(ca_file),
        };
        for path in [&mut self.cert_file, &mut self.key_file].into_iter().chain(ca_file) {
            // An absolute path replaces the directory.
            *path = directory.join(&*path);
        }
    }

    /// The file with the certificates of the CAs that issue the certificates of clients.
    #[must_use]
    pub fn client_ca_file(&self) -> Option<&Path> {
        match &self.client_auth {
            ClientAuth::None => None,
            ClientAuth::IfGiven { ca_file } | ClientAuth::Required { ca_file } => Some(ca_file),
        }
    }
}
