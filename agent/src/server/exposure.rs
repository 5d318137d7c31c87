//! What clients on other hosts can do, if the listener is not protected. Pure.

use std::net::SocketAddr;

use super::web::Settings;

/// What is exposed, and the remedy; `None` if the listener can only be reached from this host, or is protected.
#[must_use]
pub fn of(address: SocketAddr, settings: &Settings) -> Option<String> {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() {
        None
    } else if !settings.authenticates() {
        Some(format!(
            "listening on {address} without authentication: everyone who can reach it can read the names, images, labels and \
             activity of all containers; set server.web_config (docs/security.md) or listen on 127.0.0.1"
        ))
    } else if settings.tls.is_none() {
        Some(format!(
            "listening on {address} without TLS: everyone on the network path can read passwords and metrics; set \
             tls_server_config in server.web_config (docs/security.md) or listen on 127.0.0.1"
        ))
    } else {
        None
    }
}
