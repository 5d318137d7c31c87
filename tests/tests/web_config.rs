//! TLS and basic authentication: the agent's binary with curl, Prometheus and node_exporter.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, also in its helpers")]

mod web_config {
    mod clients;
    mod files;
    mod health;
    mod hostile;
    mod prometheus;
    mod reference;
    mod reload;
}
