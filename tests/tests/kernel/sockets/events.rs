//! Resets, full accept queues, retransmissions and dropped datagrams.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use super::{super::probe::ALONE, Setup, connect, has_ipv6, kernel_counter, loopback, words};

/// Makes the next close send a reset.
fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: a live value and its size.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

#[test]
fn resets_are_counted_by_direction() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let server = setup.listener(false, 16);
    let address = server.local_addr().unwrap();
    for _ in 0..5 {
        let client = TcpStream::connect(address).unwrap();
        let mut accepted = server.accept().unwrap().0;
        reset_on_close(&client);
        drop(client);
        assert!(accepted.read(&mut [0]).is_err(), "the connection was reset");
    }
    for _ in 0..7 {
        let mut client = TcpStream::connect(address).unwrap();
        let accepted = server.accept().unwrap().0;
        reset_on_close(&accepted);
        drop(accepted);
        assert!(client.read(&mut [0]).is_err(), "the connection was reset");
    }
    // A reset that the kernel sends through its own socket, because the connection is gone.
    let mut client = TcpStream::connect(address).unwrap();
    let accepted = server.accept().unwrap().0;
    drop(accepted);
    client.write_all(b"x").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let counts = setup.read_until("count all", |usage| usage.connections.resets_received >= 5).connections;
    assert_eq!(counts.resets_received, 5);
    assert!((7..=8).contains(&counts.resets_sent), "{}", counts.resets_sent);
    assert_eq!(counts.accepted, 13);
}

/// `tcpi_total_retrans` in the `tcp_info` of a connection.
fn retransmitted(socket: &impl AsRawFd) -> u64 {
    const TOTAL_RETRANS_WORD: usize = 25;
    u64::from(words::<26>(socket, libc::IPPROTO_TCP, libc::TCP_INFO)[TOTAL_RETRANS_WORD])
}

#[test]
fn a_full_accept_queue_and_the_retransmissions_that_it_causes_are_counted_as_the_kernel_does() {
    const BACKLOG: i32 = 2;
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let server = setup.listener(false, BACKLOG);
    let address = server.local_addr().unwrap();
    assert_eq!(setup.read().accept_queue, None, "no attempt yet");
    let before = kernel_counter("netstat", "TcpExt", "ListenOverflows");
    let clients: Vec<OwnedFd> = (0..8)
        .map(|_| {
            let client = setup.sockets.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
            let _ = connect(&client, address);
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(1500));
    let read = setup.read();
    let overflows = kernel_counter("netstat", "TcpExt", "ListenOverflows") - before;
    println!("{overflows} overflows, {:?}", read.accept_queue);
    assert!(overflows > 5, "{overflows}");
    assert_eq!(read.connections.accept_overflows, overflows);
    let queue = read.accept_queue.unwrap();
    // The kernel accepts one connection more than the limit.
    assert_eq!((queue.length, queue.limit), (BACKLOG as u32 + 1, BACKLOG as u32));
    let again: u64 = clients.iter().map(retransmitted).sum();
    let counted = setup.read().connections.retransmitted_segments;
    assert!(again >= 5, "{again}");
    assert!(counted.abs_diff(again) <= 1, "{counted} of {again}: another may have been sent in between");
}

/// `SO_MEMINFO`, and the position of the drops in it.
const SO_MEMINFO: i32 = 55;
const DROPS_WORD: usize = 8;

#[test]
fn dropped_datagrams_are_counted_as_the_kernel_does() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    for is_ipv6 in [false, true].into_iter().filter(|is_ipv6| !is_ipv6 || has_ipv6()) {
        let before = setup.read().connections.udp_drops;
        let receiver = setup.udp(is_ipv6);
        let sender = UdpSocket::bind(loopback(is_ipv6)).unwrap();
        for _ in 0..2000 {
            sender.send_to(&[0; 1000], receiver.local_addr().unwrap()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        let dropped = u64::from(words::<9>(&receiver, libc::SOL_SOCKET, SO_MEMINFO)[DROPS_WORD]);
        let counted = setup.read().connections.udp_drops - before;
        println!("IPv6 {is_ipv6}: {counted} of {dropped}");
        assert!(dropped > 100, "{dropped}");
        if is_ipv6 && counted == 0 && !reports_ipv6_drops() {
            println!("this kernel does not report drops of IPv6 sockets");
            continue;
        }
        assert_eq!(counted, dropped);
    }
}

/// From 6.10 on.
fn reports_ipv6_drops() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6u32), Some(10u32))
}

#[test]
fn events_of_other_processes_are_not_counted() {
    let _alone = ALONE.lock();
    let mut setup = Setup::new();
    let server = TcpListener::bind(loopback(false)).unwrap();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let mut accepted = server.accept().unwrap().0;
    reset_on_close(&client);
    drop(client);
    assert!(accepted.read(&mut [0]).is_err());
    let read = setup.read();
    assert_eq!(read.connections, Default::default());
    assert_eq!(read.traffic, Default::default());
}
