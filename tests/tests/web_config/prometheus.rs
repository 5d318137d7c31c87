//! A real Prometheus scrapes with TLS, a client certificate and a password.

use std::time::Duration;

use glassbox_tests::{
    prometheus::{Programs, Prometheus},
    skip,
};

use super::files::{Files, MUTUAL_TLS, alice};

/// Time until the first scrape.
const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn prometheus_scrapes_with_a_certificate_and_a_password() {
    let test = "prometheus_scrapes_with_a_certificate_and_a_password";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let files = Files::new(&format!("{MUTUAL_TLS}{}", alice()));
    let agent = files.agent();
    let job = |password: &str| {
        let path = |name| files.path(name).display().to_string();
        format!(
            "  scheme: https\n  basic_auth: {{username: alice, password: {password}}}\n  tls_config: {{ca_file: {}, \
             cert_file: {}, key_file: {}}}\n",
            path("ca.crt"),
            path("client.crt"),
            path("client.key")
        )
    };
    let up = |job: &str, expected: f64| {
        let prometheus = Prometheus::start_with(&programs, agent.address, "", job);
        prometheus.wait_for("up{job=\"glassbox\"}", TIMEOUT, |samples| {
            samples.len() == 1 && samples[0].value == expected
        });
        prometheus
    };
    let prometheus = up(&job("secret"), 1.0);
    let built = prometheus.wait_for("glassbox_build_info", TIMEOUT, |samples| samples.len() == 1);
    assert_eq!(built[0].labels["job"], "glassbox");
    drop(prometheus);
    drop(up(&job("wrong"), 0.0));
    drop(up("  scheme: https\n  tls_config: {insecure_skip_verify: true}\n", 0.0));
}
