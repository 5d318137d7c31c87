//! Traffic of a container with a network namespace of its own: over a pair of virtual Ethernet interfaces, as on a bridge, and
//! over a macvlan interface.

use std::{fs, net::TcpListener};

use glassbox::snapshot::sockets::protocol::TCP;
use glassbox_tests::{
    inapplicable,
    veth::{Interfaces, Kind, OUTSIDE},
};

use super::{
    super::probe::ALONE,
    Setup,
    traffic::{TRANSFER_BYTES, transfer},
};

const ETHERNET_HEADER_BYTES: u64 = 14;

/// The bytes and packets that the interface in the namespace of this process has received and sent.
fn of_interface(pid: i32) -> [u64; 4] {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("inside:")).unwrap();
    let numbers: Vec<u64> = line.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect();
    [numbers[0], numbers[1], numbers[8], numbers[9]]
}

/// Puts the sockets of a container into a new namespace that is connected with the host's. An error is the reason to skip the
/// test.
pub(in super::super) fn connect(setup: &Setup, kind: Kind) -> Result<Interfaces, String> {
    setup.sockets.enter_a_new_network();
    Interfaces::connect(setup.sockets.pid().cast_unsigned(), kind)
}

#[test]
fn traffic_over_a_veth_pair_agrees_with_the_counters_of_the_interface() {
    agrees("traffic_over_a_veth_pair_agrees_with_the_counters_of_the_interface", Kind::Veth);
}

#[test]
fn traffic_over_a_macvlan_interface_agrees_with_its_counters() {
    agrees("traffic_over_a_macvlan_interface_agrees_with_its_counters", Kind::Macvlan);
}

fn agrees(test: &str, kind: Kind) {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let _interfaces = match connect(&setup, kind) {
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
