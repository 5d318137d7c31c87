//! Traffic of a container with a network namespace of its own: over a pair of virtual Ethernet interfaces, as on a bridge, and
//! over a macvlan interface.

use std::{fs, net::TcpListener};

use glassbox::snapshot::sockets::protocol::TCP;
use glassbox_tests::inapplicable;

use super::{
    super::probe::ALONE,
    Setup, shell,
    traffic::{TRANSFER_BYTES, transfer},
};

const OUTSIDE: &str = "10.213.77.1";
/// The address of the container.
pub(in super::super) const INSIDE: &str = "10.213.77.2";
const ETHERNET_HEADER_BYTES: u64 = 14;

/// The bytes and packets that the interface in the namespace of this process has received and sent.
fn of_interface(pid: i32) -> [u64; 4] {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("inside:")).unwrap();
    let numbers: Vec<u64> = line.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect();
    [numbers[0], numbers[1], numbers[8], numbers[9]]
}

/// Interfaces of the host, which are removed when dropped.
pub(in super::super) struct Interfaces(String);

impl Drop for Interfaces {
    fn drop(&mut self) {
        // The kernel has removed them if their other end was in the container's namespace.
        let _ = shell(&format!("ip link del {} 2>/dev/null", self.0));
    }
}

/// Puts the sockets of a container into a new namespace that is connected with the host's. An error is the reason to skip the
/// test.
pub(in super::super) fn connect(setup: &Setup, is_macvlan: bool) -> Result<Interfaces, String> {
    setup.sockets.enter_a_new_network();
    let pid = setup.sockets.pid();
    let interfaces = Interfaces(format!("outside{pid}"));
    let outside = &interfaces.0;
    let inside = format!("nsenter --target {pid} --net ip");
    let connect = if is_macvlan {
        // The parent does not reach its own macvlan interfaces, so the host is at the other end of the parent.
        vec![
            format!("ip link add {outside} type veth peer name parent{pid}"),
            format!("ip link set parent{pid} up"),
            format!("ip link add link parent{pid} name inside netns {pid} type macvlan mode bridge"),
        ]
    } else {
        vec![format!("ip link add {outside} type veth peer name inside netns {pid}")]
    };
    let configure = [
        format!("ip address add {OUTSIDE}/30 dev {outside}"),
        format!("ip link set {outside} up"),
        format!("{inside} address add {INSIDE}/30 dev inside"),
        format!("{inside} link set inside up"),
    ];
    connect.iter().chain(&configure).try_for_each(|command| shell(command))?;
    Ok(interfaces)
}

#[test]
fn traffic_over_a_veth_pair_agrees_with_the_counters_of_the_interface() {
    agrees("traffic_over_a_veth_pair_agrees_with_the_counters_of_the_interface", false);
}

#[test]
fn traffic_over_a_macvlan_interface_agrees_with_its_counters() {
    agrees("traffic_over_a_macvlan_interface_agrees_with_its_counters", true);
}

fn agrees(test: &str, is_macvlan: bool) {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let _interfaces = match connect(&setup, is_macvlan) {
        Ok(made) => made,
        Err(reason) => return inapplicable(test, &reason),
    };
    let server = TcpListener::bind((OUTSIDE, 0)).unwrap();
    let before = (setup.read().traffic, of_interface(setup.sockets.pid()));
    for is_sender in [true, false] {
        let own = setup.stream(server.local_addr().unwrap()).unwrap();
        let other = server.accept().unwrap().0;
        if is_sender {
            transfer(own, other);
        } else {
            transfer(other, own);
        }
    }
    let after = (setup.read().traffic, of_interface(setup.sockets.pid()));
    let counted = [
        after.0.receive_bytes[TCP] - before.0.receive_bytes[TCP],
        after.0.receive_packets[TCP] - before.0.receive_packets[TCP],
        after.0.transmit_bytes[TCP] - before.0.transmit_bytes[TCP],
        after.0.transmit_packets[TCP] - before.0.transmit_packets[TCP],
    ];
    let on_interface: Vec<u64> = after.1.iter().zip(before.1).map(|(after, before)| after - before).collect();
    println!("counted {counted:?}, interface {on_interface:?}");
    for direction in [0, 2] {
        let frames = counted[direction] + counted[direction + 1] * ETHERNET_HEADER_BYTES;
        assert!(counted[direction] > TRANSFER_BYTES, "{counted:?}");
        // The interface also counts address resolution.
        assert!(frames.abs_diff(on_interface[direction]) <= on_interface[direction] / 1000, "{frames}");
    }
}
