//! A real Prometheus scrapes with TLS, a client certificate and a password.

use std::time::Duration;

use glassbox_tests::{
    prometheus::{Programs, Prometheus},
    repository::in_repository,
    skip,
};

use super::files::{Files, MUTUAL_TLS, TLS, alice};

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

#[test]
fn alerts_about_an_expiring_certificate_and_a_broken_file_fire_and_clear() {
    let test = "alerts_about_an_expiring_certificate_and_a_broken_file_fire_and_clear";
    let Ok(programs) = Programs::find().map_err(|reason| skip(test, &reason)) else { return };
    let files = Files::new(TLS);
    files.certify_for(Duration::from_hours(24 * 13));
    let agent = files.agent();
    // Only the durations are shorter.
    let rules = std::fs::read_to_string(in_repository("dashboards/alerts.yml")).unwrap();
    files.write("alerts.yml", &rules.replace("for: 5m", "for: 1s"));
    let configuration = format!("rule_files: [{:?}]\n", files.path("alerts.yml"));
    let job = "  scheme: https\n  tls_config: {insecure_skip_verify: true}\n";
    let prometheus = Prometheus::start_with(&programs, agent.address, &configuration, job);
    let fires = |alert: &str, expected: bool| {
        let query = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        prometheus.wait_for(&query, TIMEOUT, |samples| samples.is_empty() != expected);
    };
    fires("AgentCertificateExpires", true);
    files.write("web.yml", "tls_server_config: [");
    fires("AgentReloadFailed", true);
    files.certify(2020, 2120);
    files.write("web.yml", TLS);
    fires("AgentReloadFailed", false);
    fires("AgentCertificateExpires", false);
}
