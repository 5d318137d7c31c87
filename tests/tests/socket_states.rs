//! Sockets of a real container by state, exported by the agent's binary.

use std::time::Duration;

use glassbox_tests::{
    agent::Agent,
    docker::{Container, Docker, HOST_NETWORK, Network, eventually},
    skip,
};

const TIMEOUT: Duration = Duration::from_secs(60);
/// A server with two connections; both ends of each are in the container. The server's sockets are IPv6 if the host has
/// IPv6.
const TCP: &str = "nc -ll -p 8001 -e sleep 600 & sleep 1; \
                   sleep 600 | nc 127.0.0.1 8001 & sleep 600 | nc 127.0.0.1 8001 & sleep 600";
/// A socket that is bound but not connected: it sends a log to a port without a listener.
const UDP: &str = "syslogd -R 127.0.0.1:9000; sleep 1; logger hello; sleep 600";

/// The sum of a family over IPv4 and IPv6, for a container and a state. `None` if neither exists.
fn count(metrics: &str, protocol: &str, container: &str, state: &str) -> Option<u64> {
    let of = |family: String| -> Option<u64> {
        let line = metrics.lines().find(|line| {
            line.starts_with(&format!("{family}{{container=\"{container}\""))
                && line.contains(&format!("{protocol}_state=\"{state}\""))
        });
        line?.rsplit_once(' ')?.1.parse().ok()
    };
    let counts = ["", "6"].map(|version| of(format!("container_network_{protocol}{version}_usage_total")));
    counts.iter().any(Option::is_some).then(|| counts.into_iter().flatten().sum())
}

#[test]
fn sockets_of_a_container_are_counted_by_state_if_enabled() {
    let test = "sockets_of_a_container_are_counted_by_state_if_enabled";
    let docker = match Docker::own(Network::None) {
        Ok(docker) => docker,
        Err(reason) => return skip(test, &reason),
    };
    let configuration = format!("tick_ms = 200\n[docker]\nsocket = \"{}\"\n", docker.socket().display());
    let wanted = Agent::start(&format!("{configuration}[network]\ntcp_states = true\nudp_states = true\n"));
    let unwanted = Agent::start(&configuration);
    let _server = Container::run(&docker, "server", &["--network=none"], &["sh", "-c", TCP]);
    let _udp = Container::run(&docker, "udp", &["--network=none"], &["sh", "-c", UDP]);
    let _on_host = Container::run(&docker, "on-host", &HOST_NETWORK, &["sleep", "600"]);
    let metrics = eventually("its sockets are counted", TIMEOUT, || {
        let metrics = wanted.metrics();
        let established = count(&metrics, "tcp", "server", "established");
        (established == Some(4) && count(&metrics, "udp", "udp", "listen") == Some(1)).then_some(metrics)
    });
    assert_eq!(count(&metrics, "tcp", "server", "listen"), Some(1));
    assert_eq!(count(&metrics, "tcp", "server", "synsent"), Some(0));
    assert_eq!(count(&metrics, "udp", "server", "listen"), Some(0));
    assert_eq!(count(&metrics, "tcp", "udp", "listen"), Some(0));
    assert_eq!(count(&metrics, "udp", "udp", "dropped"), Some(0));
    assert_eq!(count(&metrics, "tcp", "on-host", "listen"), None, "the host's sockets are not exported");
    let unwanted = unwanted.metrics();
    assert!(unwanted.contains("container=\"server\"") && !unwanted.contains("container_network_tcp"));
}
