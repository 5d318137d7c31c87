//! Packets of sockets in the host's network, in a cgroup with the path of a container.

use std::{net::UdpSocket, path::Path, time::Duration};

use glassbox::{snapshot::network::HostNetworkCounters, tick::Engine};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    worker::{Work, Worker},
};

use super::{
    probe::ALONE,
    starts::{config, engine, row, tick_until},
};

const DATAGRAMS: u32 = 100;
const DATA_BYTES: usize = 1000;
/// The IPv4 and UDP headers.
const HEADER_BYTES: usize = 20 + 8;

/// Echoes datagrams until this many have arrived, or none arrives any more. Returns their number.
fn echo(socket: &UdpSocket, datagrams: u32) -> u32 {
    let mut buffer = [0; 2 * DATA_BYTES];
    let mut sent = 0;
    while sent < datagrams
        && let Ok((bytes, from)) = socket.recv_from(&mut buffer)
    {
        socket.send_to(&buffer[..bytes], from).unwrap();
        sent += 1;
    }
    sent
}

fn exchange(cgroup: &Cgroup) -> Worker {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let worker =
        Worker::start(cgroup, Work::Exchange { port, datagrams: DATAGRAMS, bytes: DATA_BYTES }, None);
    worker.go();
    assert_eq!(echo(&socket, DATAGRAMS), DATAGRAMS);
    // The last datagram may still be in the network stack.
    std::thread::sleep(Duration::from_millis(50));
    worker
}

fn expected(rounds: u64) -> HostNetworkCounters {
    let packets = rounds * u64::from(DATAGRAMS);
    let bytes = packets * (DATA_BYTES + HEADER_BYTES) as u64;
    HostNetworkCounters {
        receive_bytes: bytes,
        receive_packets: packets,
        transmit_bytes: bytes,
        transmit_packets: packets,
    }
}

/// Ticks until the container is discovered, confirmed in the host's network, attached and read.
fn settle(engine: &mut Engine) {
    engine.tick();
    std::thread::sleep(Duration::from_millis(600));
    for _ in 0..3 {
        engine.tick();
    }
}

fn in_own_network(pid: i32) -> bool {
    let of = |process: &str| std::fs::read_link(Path::new("/proc").join(process).join("ns/net")).unwrap();
    of(&pid.to_string()) != of("self")
}

#[test]
fn traffic_of_a_container_in_the_hosts_network_is_counted_to_the_byte() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let root = v2_root().unwrap();
    let ((talker, talks), (_silent, is_silent)) =
        (Cgroup::container(&root).unwrap(), Cgroup::container(&root).unwrap());
    let _sleeper = Worker::start(&_silent, Work::Sleep, None);
    let resident = Worker::start(&talker, Work::Sleep, None);
    assert!(!in_own_network(resident.pid));
    let is_counted = |id| row(&snapshots, id).is_some_and(|row| row.host_network.is_some());
    tick_until("waited for two containers in the host's network", &mut engine, || {
        is_counted(&talks) && is_counted(&is_silent)
    });
    assert_eq!(row(&snapshots, &talks).unwrap().host_network, Some(expected(0)));
    let measured = aya::sys::enable_stats(aya::sys::Stats::RunTime);
    let _first = exchange(&talker);
    for program in aya::programs::loaded_programs().flatten() {
        let ours = program.name_as_str().is_some_and(|name| name.starts_with("host_network"));
        if ours && program.run_count() > 0 {
            let run_ns = program.run_time().as_nanos() / u128::from(program.run_count());
            println!("{}: {run_ns} ns a packet", program.name_as_str().unwrap_or_default());
        }
    }
    drop(measured);
    engine.tick();
    assert_eq!(row(&snapshots, &talks).unwrap().host_network, Some(expected(1)));
    // Traffic of a nested cgroup counts as well.
    let nested = Cgroup::new(talker.path(), "app.service").unwrap();
    let _second = exchange(&nested);
    engine.tick();
    assert_eq!(row(&snapshots, &talks).unwrap().host_network, Some(expected(2)));
    assert_eq!(row(&snapshots, &is_silent).unwrap().host_network, Some(expected(0)));
    drop((nested, talker));
    // Detaching the programs can take longer than the time that a tick has for events.
    tick_until("the container has ended", &mut engine, || {
        row(&snapshots, &talks).is_some_and(|row| row.ended_at.is_some())
    });
    let ended = row(&snapshots, &talks).unwrap();
    assert_eq!(ended.host_network, Some(expected(2)), "the counters stay");
}

#[test]
fn a_container_in_its_own_network_is_not_attached() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let resident = Worker::start(&cgroup, Work::SleepElsewhere, None);
    resident.go();
    glassbox_tests::docker::eventually("a network of its own", Duration::from_secs(5), || {
        in_own_network(resident.pid).then_some(())
    });
    settle(&mut engine);
    assert_eq!(row(&snapshots, &id).unwrap().host_network, None);
}
