//! `glassbox health` and real agents.

use std::process::Command;

use glassbox_tests::agent::{self, Agent};

use super::files::{Files, MUTUAL_TLS, TLS, alice};

/// Runs `glassbox health` for the agent with these files. Returns its exit status, and what it prints.
fn health(agent: &Agent, files: &Files, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(agent::binary())
        .args(["health", "--config", "/dev/null", "--listen", &agent.address.to_string(), "--web-config"])
        .arg(files.path("web.yml"))
        .args(arguments)
        .output()
        .unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(printed.lines().count(), 1, "{printed}");
    (output.status.code().unwrap(), printed)
}

#[test]
fn an_agent_with_tls_and_passwords_is_healthy_and_so_is_one_whose_files_are_broken_or_expired() {
    let files = Files::new(&format!("{TLS}{}", alice()));
    files.certify(2020, 2021);
    let agent = files.agent();
    let healthy = (0, format!("healthy: {}: ok\n", agent.address));
    assert_eq!(health(&agent, &files, &[]), healthy);
    // The agent keeps its previous settings, so a check must not restart it.
    files.write("web.yml", "tls_server_config: [");
    assert_eq!(health(&agent, &files, &[]), healthy);
    let process = agent.pid().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    signal("-STOP");
    let (exit, printed) = health(&agent, &files, &["--timeout", "1"]);
    signal("-CONT");
    assert_eq!(exit, 1, "{printed}");
    assert!(printed.contains("no response within 1s"), "{printed}");
}

#[test]
fn an_agent_with_mutual_tls_needs_a_client_certificate() {
    let files = Files::new(MUTUAL_TLS);
    let agent = files.agent();
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("client.crt"), path("client.key"));
    let pair = ["--cert-file", &certificate, "--key-file", &key];
    assert_eq!(health(&agent, &files, &pair).0, 0);
    let (exit, printed) = health(&agent, &files, &[]);
    assert_eq!(exit, 1, "{printed}");
    assert!(printed.contains("--cert-file and --key-file"), "{printed}");
    let (exit, printed) = health(&agent, &files, &["--cert-file", &certificate, "--key-file", &certificate]);
    assert_eq!(exit, 1, "{printed}");
    assert!(printed.contains("client.crt"), "{printed}");
}
