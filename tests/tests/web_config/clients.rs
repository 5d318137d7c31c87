//! curl with and without certificates and passwords.

use std::{process::Command, time::Duration};

use glassbox_tests::{agent, docker::eventually};

use super::files::{Files, MUTUAL_TLS, TLS, alice, certificate, certify, curl, modest, value};

/// Time within which counters are exported.
const TIMEOUT: Duration = Duration::from_secs(10);
/// curl's exit status if the server's certificate cannot be verified.
const NOT_VERIFIED: i32 = 60;

#[test]
fn a_client_needs_the_password_and_verifies_the_certificate() {
    let files =
        Files::new(&format!("{TLS}{}http_server_config:\n  headers:\n    X-Frame-Options: deny\n", alice()));
    let agent = files.agent();
    let answer = files.curl(&agent, "/metrics", &["--user", "alice:secret"]);
    assert_eq!((answer.exit, answer.status), (0, 200), "{}", answer.error);
    assert!(answer.text.contains("\r\nx-frame-options: deny\r\n"), "{}", answer.text);
    // `date -ud 2120-01-01 +%s`
    assert_eq!(value(&answer.text, "glassbox_server_certificate_expiry_timestamp_seconds"), 4_733_510_400.0);
    for path in ["/", "/metrics", "/metrics/cadvisor", "/healthz/container/web", "/none", "/healthz/"] {
        for credentials in [&[][..], &["--user", "alice:wrong"], &["--user", "bob:secret"], &["--user", ":"]]
        {
            let answer = files.curl(&agent, path, credentials);
            assert_eq!(answer.status, 401, "{path} {credentials:?}");
            assert!(answer.text.contains("www-authenticate: Basic realm=\"glassbox\""), "{}", answer.text);
            assert!(answer.text.contains("x-frame-options: deny") && !answer.text.contains("container_"));
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(files.curl(&agent, path, &[]).status, 200, "{path}");
    }
    let url = format!("https://localhost:{}/healthz", agent.address.port());
    assert_eq!(curl(&url, &[]).exit, NOT_VERIFIED);
    assert_eq!(curl(&url.replace("https", "http"), &[]).status, 0, "plain HTTP was served");
    let metrics = files.curl(&agent, "/metrics", &["--user", "alice:secret"]).text;
    let refused =
        |reason| value(&metrics, &format!("glassbox_server_refused_requests_total{{reason=\"{reason}\"}}"));
    assert!(refused("no_password") >= 6.0 && refused("wrong_password") >= 18.0, "{metrics}");
    let failed = |reason| {
        value(&metrics, &format!("glassbox_server_tls_handshake_failures_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((failed("rejected"), failed("protocol"), failed("timeout")), (1.0, 1.0, 0.0), "{metrics}");
}

#[test]
fn a_client_without_a_certificate_of_the_ca_is_rejected_by_mutual_tls() {
    let files = Files::new(MUTUAL_TLS);
    let agent = files.agent();
    let directory = files.path("");
    let strangers = tempfile::tempdir().unwrap();
    certify(strangers.path(), 2020, 2120);
    let get = |certificate: &[String], version: &[&str]| {
        let arguments: Vec<_> =
            certificate.iter().map(String::as_str).chain(version.iter().copied()).collect();
        files.curl(&agent, "/metrics", &arguments)
    };
    let accepted = certificate(&directory, "client");
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        assert_eq!(get(&accepted, version).status, 200, "{version:?}");
        // None, one of another CA, and one of the right CA that is not for clients.
        for rejected in
            [&[][..], &certificate(strangers.path(), "client"), &certificate(&directory, "server")]
        {
            let answer = get(rejected, version);
            assert!(answer.exit != 0 && answer.status == 0, "{version:?} {rejected:?}: {answer:?}");
        }
    }
    let failed = "glassbox_server_tls_handshake_failures_total{reason=\"client_certificate\"}";
    // The text of a tick is cached.
    eventually("six failures", TIMEOUT, || (value(&get(&accepted, &[]).text, failed) == 6.0).then_some(()));
}

#[test]
fn an_expired_certificate_is_rejected_by_clients_and_reported_by_the_agent_and_by_check() {
    let files = Files::new(TLS);
    files.certify(2020, 2021);
    let agent = files.agent();
    let answer = files.curl(&agent, "/healthz", &[]);
    assert_eq!(answer.exit, NOT_VERIFIED);
    assert!(answer.error.contains("expired"), "{}", answer.error);
    assert_eq!(agent.log().matches("the certificate expired").count(), 1, "{}", agent.log());
    let check = |listen: std::net::SocketAddr| {
        let file = files.path("agent.toml");
        let web = files.path("web.yml");
        std::fs::write(&file, format!("listen = \"{listen}\"\n{}web_config = {web:?}\n", modest())).unwrap();
        let output = Command::new(agent::binary()).args(["check", "--config"]).arg(file).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let table = check(agent.address);
    let row = |subject: &str| {
        table.lines().skip_while(|line| !line.starts_with(subject)).take(3).collect::<String>()
    };
    assert!(row("TLS and passwords").contains("degraded"), "{table}");
    assert!(row("TLS and passwords").contains("the certificate expired"), "{table}");
    assert!(row("listener").contains(&format!("running at https://{}", agent.address)), "{table}");
}

#[test]
fn check_recognizes_a_running_agent_that_requires_passwords_or_client_certificates() {
    for web_config in [alice(), format!("{TLS}{}", alice()), MUTUAL_TLS.to_owned()] {
        let files = Files::new(&web_config);
        let agent = files.agent();
        let (file, web) = (files.path("agent.toml"), files.path("web.yml"));
        let listen = agent.address;
        std::fs::write(&file, format!("listen = \"{listen}\"\n{}web_config = {web:?}\n", modest())).unwrap();
        let output = Command::new(agent::binary()).args(["check", "--config"]).arg(&file).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(table.contains("a glassbox agent is running at http"), "{table}");
        // Another certificate is not this agent's.
        if web_config.contains("tls_server_config") {
            files.certify(2020, 2121);
            let output =
                Command::new(agent::binary()).args(["check", "--config"]).arg(&file).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn the_versions_of_tls_are_limited() {
    let files = Files::new(&format!("{TLS}  min_version: TLS13\n"));
    let agent = files.agent();
    assert_eq!(files.curl(&agent, "/healthz", &["--tlsv1.3"]).status, 200);
    assert_ne!(files.curl(&agent, "/healthz", &["--tls-max", "1.2"]).exit, 0);
    drop((agent, files));
    let files = Files::new(&format!("{TLS}  max_version: TLS12\n"));
    let agent = files.agent();
    assert_eq!(files.curl(&agent, "/healthz", &["--tls-max", "1.2"]).status, 200);
    assert_ne!(files.curl(&agent, "/healthz", &["--tlsv1.3"]).exit, 0);
}
