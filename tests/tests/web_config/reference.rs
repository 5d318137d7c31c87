//! node_exporter is the reference: both programs accept the same web configurations.

use std::{path::Path, process::Command};

use glassbox_tests::{agent, node_exporter, skip};

use super::files::{Files, MUTUAL_TLS, TLS, alice};

/// Whether `glassbox config` accepts a web configuration, or else its error.
fn agent_accepts(web_config: &Path) -> Result<(), String> {
    let output = Command::new(agent::binary())
        .args(["config", "--config", "/dev/null", "--web-config"])
        .arg(web_config)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 78)), "{}: {error}", output.status);
    if output.status.success() { Ok(()) } else { Err(error) }
}

#[test]
fn the_agent_and_node_exporter_accept_and_reject_the_same_web_configurations() {
    let test = "the_agent_and_node_exporter_accept_and_reject_the_same_web_configurations";
    let Ok(program) = node_exporter::find().map_err(|reason| skip(test, &reason)) else { return };
    let files = Files::new("");
    let alice = alice();
    let headers = "http_server_config:\n  http2: false\n  headers:\n    ";
    let cases = [
        (true, String::new()),
        (true, "# a comment\n".into()),
        (true, TLS.into()),
        (true, MUTUAL_TLS.into()),
        (true, MUTUAL_TLS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")),
        (
            true,
            format!("{TLS}  client_auth_type: NoClientCert\n  min_version: TLS12\n  max_version: TLS13\n"),
        ),
        (true, alice.clone()),
        (true, format!("{TLS}{alice}{headers}X-Frame-Options: sameorigin\n")),
        (
            true,
            format!("{headers}Strict-Transport-Security: max-age=1\n    X-Content-Type-Options: nosniff\n"),
        ),
        (false, "tls_server_config: [\n".into()),
        (false, "tls_server:\n".into()),
        (false, format!("{TLS}  cert: server.crt\n  bogus: 1\n")),
        (false, "tls_server_config:\n  cert_file: server.crt\n".into()),
        (false, "tls_server_config:\n  key_file: server.key\n".into()),
        (false, TLS.replace("server.crt", "none.crt")),
        (false, TLS.replace("server.key", "client.key")),
        (false, format!("{TLS}  client_ca_file: ca.crt\n")),
        (false, format!("{TLS}  client_auth_type: Always\n")),
        (false, format!("{TLS}  min_version: TLS14\n")),
        (false, "basic_auth_users:\n  alice: secret\n".into()),
        (false, format!("{alice}{}", alice.replace("basic_auth_users:\n", ""))),
        (false, format!("{headers}Server: x\n")),
        (false, format!("{headers}X-Frame-Options: all\n")),
    ];
    for (expected, text) in cases {
        files.write("web.yml", &text);
        let path = files.path("web.yml");
        let (ours, theirs) = (agent_accepts(&path), node_exporter::accepts(&program, &path));
        assert_eq!((ours.is_ok(), theirs.is_ok()), (expected, expected), "{text:?}: {ours:?}, {theirs:?}");
    }
    // The agent is stricter: it rejects what it would have to ignore, and what would look like protection.
    for (text, reason) in [
        (format!("{TLS}  client_auth_type: RequireAnyClientCert\n"), "without verification"),
        (format!("{TLS}  client_auth_type: RequestClientCert\n"), "without verification"),
        (format!("{TLS}  min_version: TLS10\n"), "insecure"),
        (format!("{TLS}  prefer_server_cipher_suites: true\n"), "remove the key"),
        ("http_server_config:\n  http2: true\n".into(), "HTTP/1.1 only"),
        ("tls_server_config:\n  min_version: TLS12\n".into(), "missing field `cert_file`"),
        (alice.replace("$10$", "$15$"), "outside the range"),
    ] {
        files.write("web.yml", &text);
        let path = files.path("web.yml");
        assert_eq!(node_exporter::accepts(&program, &path), Ok(()), "{text:?}");
        let error = agent_accepts(&path).unwrap_err();
        assert!(error.contains(reason) && error.contains("web.yml"), "{error}");
    }
}
