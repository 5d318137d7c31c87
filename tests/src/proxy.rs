//! nginx and caddy as reverse proxies, in containers that share the host's network.

use std::{fs, net::SocketAddr, process::Command};

use crate::{
    process_container::ProcessContainer,
    service::{Service, free_address},
    web::{configure_servers, needs},
};

/// How nginx talks to the server behind it.
#[derive(Clone, Copy, Debug)]
pub struct Upstream {
    /// The version of HTTP. nginx keeps connections open only with `1.1`.
    pub version: &'static str,
    /// Whether nginx holds responses back until its buffers are full. This is its default.
    pub is_buffered: bool,
}

/// A running proxy.
pub struct Proxy {
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
    /// Its container.
    pub container: ProcessContainer,
    _service: Service,
    _directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts nginx in front of a server, with an address for each of `upstreams`.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If nginx does not start.
    pub fn nginx(server: SocketAddr, ready: &str, upstreams: &[Upstream]) -> Result<Self, String> {
        needs("nginx")?;
        let addresses: Vec<_> = upstreams.iter().map(|_| free_address()).collect();
        let servers = upstreams.iter().zip(&addresses).map(|(upstream, address)| {
            let buffering = if upstream.is_buffered { "on" } else { "off" };
            format!(
                "server {{ listen {address}; location / {{ proxy_pass http://server; proxy_buffering {buffering};
    proxy_http_version {}; proxy_set_header Connection \"\"; proxy_set_header Host $http_host; }} }}
  ",
                upstream.version
            )
        });
        let servers =
            format!("upstream server {{ server {server}; keepalive 8; }}\n  ") + &servers.collect::<String>();
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let configuration = configure_servers(directory.path(), &servers)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(configuration);
        Self::start("nginx", &command, ready, addresses, directory)
    }

    /// Starts caddy in front of a server.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If caddy does not start.
    pub fn caddy(server: SocketAddr, ready: &str) -> Result<Self, String> {
        needs("caddy")?;
        let address = free_address();
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let configuration = directory.path().join("Caddyfile");
        let text = format!(
            "{{\n\tadmin off\n\tauto_https off\n}}\nhttp://{address} {{\n\treverse_proxy {server}\n}}\n"
        );
        fs::write(&configuration, text).map_err(|error| format!("configure caddy: {error}"))?;
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(configuration);
        command.env("HOME", directory.path());
        Self::start("caddy", &command, ready, vec![address], directory)
    }

    fn start(
        name: &'static str,
        command: &Command,
        ready: &str,
        addresses: Vec<SocketAddr>,
        directory: tempfile::TempDir,
    ) -> Result<Self, String> {
        let container = ProcessContainer::new()?;
        let first = *addresses.first().ok_or("a proxy without an address")?;
        let service = Service::start(name, first, ready, |_| container.command(command));
        Ok(Self { addresses, container, _service: service, _directory: directory })
    }
}
