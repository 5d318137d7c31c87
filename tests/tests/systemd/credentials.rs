//! The web configuration as credentials of systemd, with the drop-in of docs/security.md.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use glassbox_tests::http;
use rcgen::KeyPair;

use super::service::{self, Service};

const DIRECTORY: &str = "/etc/glassbox";
const DROP_IN: &str = "LoadCredential=web.yml:/etc/glassbox/web.yml
LoadCredential=tls.crt:/etc/glassbox/tls.crt
LoadCredential=tls.key:/etc/glassbox/tls.key
ExecStart=
ExecStart=/usr/bin/glassbox run --config /etc/glassbox/agent.toml --web-config ${CREDENTIALS_DIRECTORY}/web.yml";

/// Writes a file that only root can read.
fn write_secret(name: &str, content: &str) {
    let path = format!("{DIRECTORY}/{name}");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_web_configuration_is_read_from_credentials() {
    let Some(service) = Service::installed("the_web_configuration_is_read_from_credentials") else { return };
    let key = KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    write_secret("tls.crt", &certificate.pem());
    write_secret("tls.key", &key.serialize_pem());
    write_secret("web.yml", "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n");
    service.start(DROP_IN);

    assert!(!http::get(([127, 0, 0, 1], 9966).into(), "/metrics").is_ok_and(|answer| answer.status == 200));
    let health = Command::new("glassbox")
        // The emulated CPU of a busy host needs seconds for a handshake.
        .args(["health", "--timeout", "60", "--web-config"])
        .arg(format!("{DIRECTORY}/web.yml"))
        .output();
    let health = health.unwrap();
    assert!(health.status.success(), "{}{}", String::from_utf8_lossy(&health.stderr), service::journal());
    let start = fs::read_to_string(format!("/proc/{}/cmdline", service.pid())).unwrap();
    assert!(start.contains("--web-config\0/run/credentials/glassbox.service/web.yml"), "{start:?}");
}
