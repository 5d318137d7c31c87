//! Traffic of real containers that share the host's network, exported by the agent's binary.

use std::{
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use glassbox_tests::{
    agent::Agent,
    docker::{Container, Docker, HOST_NETWORK, Network, eventually},
    skip,
};

const BYTES: u64 = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

fn value(agent: &Agent, family: &str, container: &str) -> Option<u64> {
    let start = format!("{family}{{container=\"{container}\"}} ");
    agent.metrics().lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}

#[test]
fn only_a_container_in_the_hosts_network_has_host_network_series() {
    let test = "only_a_container_in_the_hosts_network_has_host_network_series";
    let docker = match Docker::own(Network::None) {
        Ok(docker) => docker,
        Err(reason) => return skip(test, &reason),
    };
    let socket = docker.socket().display();
    let agent = Agent::start(&format!("tick_ms = 200\n[docker]\nsocket = \"{socket}\"\n"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = "while [ ! -e /go ]; do sleep 0.1; done; \
                  dd if=/dev/zero bs=64k count=64 | nc 127.0.0.1 $0; sleep 600";
    let on_host = Container::run(&docker, "on-host", &HOST_NETWORK, &["sh", "-c", script, &port.to_string()]);
    let _quiet = Container::run(&docker, "quiet", &HOST_NETWORK, &["sleep", "600"]);
    let _alone = Container::run(&docker, "alone", &["--network=none"], &["sleep", "600"]);
    let sent = "glassbox_container_host_network_transmit_bytes_total";
    for name in ["on-host", "quiet"] {
        eventually("it is counted", TIMEOUT, || (value(&agent, sent, name) == Some(0)).then_some(()));
    }
    docker.run(&["exec", &on_host.id, "sh", "-c", ": > /go"]);
    let (mut stream, _) = listener.accept().unwrap();
    let mut received = vec![0; 1 << 20];
    let mut total = 0;
    while total < BYTES {
        match stream.read(&mut received).unwrap() {
            0 => break,
            bytes => total += bytes as u64,
        }
    }
    assert_eq!(total, BYTES);
    let counted = eventually("all is counted", TIMEOUT, || {
        value(&agent, sent, "on-host").filter(|counted| *counted >= BYTES)
    });
    assert!(counted < BYTES + BYTES / 20, "{counted} bytes for {BYTES}: more than data and headers");
    let acknowledged = value(&agent, "glassbox_container_host_network_receive_packets_total", "on-host");
    assert!(acknowledged.is_some_and(|packets| packets > 2), "{acknowledged:?}");
    assert_eq!(value(&agent, sent, "quiet"), Some(0));
    assert_eq!(value(&agent, sent, "alone"), None);
}
