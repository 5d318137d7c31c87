//! Traffic of a container with a network namespace of its own, over a pair of virtual Ethernet interfaces.

use std::{fs, net::TcpListener};

use glassbox::snapshot::sockets::protocol::TCP;
use glassbox_tests::inapplicable;

use super::{
    super::probe::ALONE,
    Setup, shell,
    traffic::{TRANSFER_BYTES, transfer},
};

const OUTSIDE: &str = "10.213.77.1";
const INSIDE: &str = "10.213.77.2";
const ETHERNET_HEADER_BYTES: u64 = 14;

/// The bytes and packets that the interface in the namespace of this process has received and sent.
fn of_interface(pid: i32) -> [u64; 4] {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("inside:")).unwrap();
    let numbers: Vec<u64> = line.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect();
    [numbers[0], numbers[1], numbers[8], numbers[9]]
}

/// A container with its sockets in a new namespace that is connected with the host's.
fn setup() -> Result<Setup, String> {
    let setup = Setup::new();
    setup.sockets.enter_a_new_network();
    let pid = setup.sockets.pid();
    let inside = format!("nsenter --target {pid} --net ip");
    // The kernel removes the pair with the namespace.
    for command in [
        format!("ip link add outside{pid} type veth peer name inside netns {pid}"),
        format!("ip address add {OUTSIDE}/30 dev outside{pid}"),
        format!("ip link set outside{pid} up"),
        format!("{inside} address add {INSIDE}/30 dev inside"),
        format!("{inside} link set inside up"),
    ] {
        shell(&command)?;
    }
    Ok(setup)
}

#[test]
fn traffic_over_a_veth_pair_agrees_with_the_counters_of_the_interface() {
    let test = "traffic_over_a_veth_pair_agrees_with_the_counters_of_the_interface";
    let _alone = ALONE.lock();
    let mut setup = match setup() {
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
