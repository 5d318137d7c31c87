//! Reads certificates and private keys in PEM. An error names the file and what to do about it, and never contains a key.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::Context as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::file::read_regular;

/// Time before its expiry in which a certificate should be replaced.
const RENEWAL: Duration = Duration::from_hours(14 * 24);

/// The agent's certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, followed by those of intermediate CAs.
    pub chain: Vec<CertificateDer<'static>>,
    /// The end of the validity of the chain, in seconds since 1970: that of the certificate that expires first.
    pub expires_at_s: i64,
}

impl Certificate {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let chain = read_certificates(path, "cert_file")?;
        let mut expires_at_s = i64::MAX;
        for certificate in &chain {
            let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| {
                anyhow::anyhow!("parse a certificate in cert_file {}: {error}", path.display())
            })?;
            expires_at_s = expires_at_s.min(certificate.validity().not_after.timestamp());
        }
        Ok(Self { chain, expires_at_s })
    }

    /// Why the certificate should be replaced; `None` if it is valid for at least 14 more days.
    #[must_use]
    pub fn concern(&self, now_s: i64) -> Option<String> {
        let left_s = self.expires_at_s.saturating_sub(now_s);
        let days = left_s.abs() / (24 * 3600);
        if left_s <= 0 {
            Some(format!("the certificate expired {days} days ago, so clients reject it; replace the file"))
        } else if left_s < RENEWAL.as_secs().cast_signed() {
            Some(format!("the certificate expires in {days} days; replace the file"))
        } else {
            None
        }
    }
}

/// The certificates in a file, at least one. `key` is the key of the web configuration that names the file.
pub(super) fn read_certificates(path: &Path, key: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = read_regular(path).with_context(|| format!("read {key} {}", path.display()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .with_context(|| format!("parse {key} {} as PEM", path.display()))?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "{key} {} contains no certificate in PEM (-----BEGIN CERTIFICATE-----)",
        path.display()
    );
    Ok(certificates)
}

pub(super) fn read_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let pem = read_regular(path).with_context(|| format!("read key_file {}", path.display()))?;
    PrivateKeyDer::from_pem_slice(&pem).with_context(|| {
        format!(
            "parse key_file {} as PEM (-----BEGIN PRIVATE KEY-----; an encrypted key must be decrypted, for example with \
             `openssl pkey`)",
            path.display()
        )
    })
}

/// The certificate with which a client identifies itself, and its key.
///
/// # Errors
/// A file cannot be read, or is not PEM.
pub fn client_certificate(
    certificate: &Path,
    key: &Path,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    Ok((read_certificates(certificate, "--cert-file")?, read_key(key)?))
}

/// Why the permissions of a private key are unsafe; `None` if they are safe.
pub(super) fn key_concern(path: &Path) -> Option<String> {
    const READABLE_BY_OTHERS: u32 = 0o004;
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & READABLE_BY_OTHERS != 0).then(|| {
        format!("the private key {0} is readable by every user; run `chmod o-rwx {0}`", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: i64 = 24 * 3600;

    #[test]
    fn a_certificate_is_a_concern_from_14_days_before_its_expiry() {
        let certificate = Certificate { chain: Vec::new(), expires_at_s: 100 * DAY_S };
        assert_eq!(certificate.concern(86 * DAY_S), None);
        assert!(certificate.concern(86 * DAY_S + 1).unwrap().contains("expires in 13 days"));
        assert!(certificate.concern(103 * DAY_S).unwrap().contains("expired 3 days ago"));
        assert!(certificate.concern(i64::MIN).is_none());
    }

    #[test]
    fn files_without_pem_are_rejected_with_their_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tls.pem");
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for text in [&b""[..], b"garbage \xff", broken, encrypted] {
            fs::write(&path, text).unwrap();
            for error in [Certificate::read(&path).unwrap_err(), read_key(&path).unwrap_err()] {
                let error = format!("{error:#}");
                assert!(
                    error.contains(path.to_str().unwrap()) && error.contains("PEM") || text == broken,
                    "{error}"
                );
            }
        }
        assert!(
            format!("{:#}", read_key(Path::new("/nowhere/key")).unwrap_err())
                .contains("key_file /nowhere/key")
        );
    }

    #[test]
    fn only_a_key_that_everybody_can_read_is_a_concern() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, is_concern) in [(0o600, false), (0o640, false), (0o644, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(key_concern(file.path()).is_some(), is_concern, "{mode:o}");
        }
    }
}
