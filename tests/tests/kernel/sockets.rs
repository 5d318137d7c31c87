//! Sockets of cgroups with the path of a container: traffic, connections and rare events, compared with what the test has
//! transferred and with the kernel's own counters.

mod connections;
mod events;
pub(super) mod interfaces;
mod iperf;
mod older;
mod traffic;

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    process::Command,
};

use glassbox::{
    config::{self, Config},
    snapshot::sockets::SocketUsage,
    tick::Snapshots,
};
use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    container_sockets::ContainerSockets,
};

use super::{
    lent::Lent,
    starts::{config, engine, row, tick_until},
};

/// An agent, and a container that has started after it.
pub(super) struct Setup {
    pub(super) engine: Lent,
    pub(super) snapshots: Snapshots,
    pub(super) id: String,
    pub(super) sockets: ContainerSockets,
    pub(super) cgroup: Cgroup,
}

impl Setup {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: Config) -> Self {
        let (engine, snapshots) = engine(config);
        Self::of(Lent::own(engine), snapshots)
    }

    /// With an agent that other tests use as well. `config` is the same in all of them.
    pub(super) fn shared(config: Config) -> Self {
        let (engine, snapshots) = Lent::shared(config);
        Self::of(engine, snapshots)
    }

    fn of(mut engine: Lent, snapshots: Snapshots) -> Self {
        engine.tick();
        let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
        let sockets = ContainerSockets::of(&cgroup);
        Self { engine, snapshots, id, sockets, cgroup }.discovered()
    }

    /// Ticks until the container is found.
    fn discovered(mut self) -> Self {
        tick_until("find the container", &mut self.engine, || {
            row(&self.snapshots, &self.id).is_some_and(|row| row.sockets.is_some())
        });
        self
    }

    fn counting_unix_sockets() -> Self {
        Self::with(Config { sockets: config::Sockets { unix: true }, ..config() })
    }

    /// The values after another tick.
    fn read(&mut self) -> SocketUsage {
        self.engine.tick();
        *row(&self.snapshots, &self.id).unwrap().sockets.expect("values of its sockets")
    }

    /// Ticks until a condition holds: the kernel may count an event shortly after the system call that caused it.
    fn read_until(&mut self, what: &str, holds: impl Fn(&SocketUsage) -> bool) -> SocketUsage {
        let (snapshots, id) = (self.snapshots.clone(), self.id.clone());
        tick_until(what, &mut self.engine, || {
            row(&snapshots, &id).unwrap().sockets.is_some_and(|one| holds(&one))
        });
        self.read()
    }

    pub(super) fn listener(&self, is_ipv6: bool, backlog: i32) -> TcpListener {
        listener(&self.sockets, is_ipv6, backlog)
    }

    fn stream(&self, to: SocketAddr) -> io::Result<TcpStream> {
        stream(&self.sockets, to)
    }

    fn udp(&self, is_ipv6: bool) -> UdpSocket {
        let socket = self.sockets.socket(domain(is_ipv6), libc::SOCK_DGRAM);
        bind(&socket, loopback(is_ipv6));
        socket.into()
    }
}

pub(super) fn listener(sockets: &ContainerSockets, is_ipv6: bool, backlog: i32) -> TcpListener {
    let socket = sockets.socket(domain(is_ipv6), libc::SOCK_STREAM);
    bind(&socket, loopback(is_ipv6));
    // SAFETY: no pointers; the socket is open.
    assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), backlog) }, 0, "{}", io::Error::last_os_error());
    socket.into()
}

pub(super) fn stream(sockets: &ContainerSockets, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = sockets.socket(domain(to.is_ipv6()), libc::SOCK_STREAM);
    connect(&socket, to)?;
    Ok(socket.into())
}

pub(super) fn loopback(is_ipv6: bool) -> SocketAddr {
    if is_ipv6 { (Ipv6Addr::LOCALHOST, 0).into() } else { (Ipv4Addr::LOCALHOST, 0).into() }
}

pub(super) fn domain(is_ipv6: bool) -> i32 {
    if is_ipv6 { libc::AF_INET6 } else { libc::AF_INET }
}

/// Calls a function with the address as the kernel expects it.
fn with_address<T>(address: SocketAddr, call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> T) -> T {
    match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            call((&raw const raw).cast(), size_of_val(&raw) as libc::socklen_t)
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: 0,
            };
            call((&raw const raw).cast(), size_of_val(&raw) as libc::socklen_t)
        }
    }
}

pub(super) fn bind(socket: &OwnedFd, address: SocketAddr) {
    // SAFETY: the address is live during the call.
    let result = with_address(address, |raw, bytes| unsafe { libc::bind(socket.as_raw_fd(), raw, bytes) });
    assert_eq!(result, 0, "bind: {}", io::Error::last_os_error());
}

pub(super) fn connect(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    // SAFETY: the address is live during the call.
    match with_address(address, |raw, bytes| unsafe { libc::connect(socket.as_raw_fd(), raw, bytes) }) {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Prints the mean time of the programs. The kernel's statistics themselves take about half of it.
fn print_run_times() {
    for program in aya::programs::loaded_programs().flatten() {
        let name = program.name_as_str().unwrap_or_default();
        if name.starts_with("sockets") && program.run_count() > 0 {
            println!("{name}: {} ns a run", program.run_time().as_nanos() / u128::from(program.run_count()));
        }
    }
}

/// Words of a socket option.
fn words<const N: usize>(socket: &impl AsRawFd, level: i32, option: i32) -> [u32; N] {
    let mut words = [0; N];
    let mut bytes = size_of_val(&words) as libc::socklen_t;
    // SAFETY: a live array and its size.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, words.as_mut_ptr().cast(), &raw mut bytes)
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    words
}

/// Runs a command. An error is the reason to skip the test: guests lack some programs.
pub(super) fn shell(command: &str) -> Result<(), String> {
    let output = Command::new("sh").args(["-c", command]).output();
    let output = output.map_err(|error| format!("run {command}: {error}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{command}: {error}"))
}

/// Whether this host has IPv6 on loopback.
pub(super) fn has_ipv6() -> bool {
    UdpSocket::bind(loopback(true)).is_ok()
}

/// A counter of `/proc/net/netstat` or `/proc/net/snmp`.
fn kernel_counter(file: &str, protocol: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut both = names.split(' ').zip(values.split(' '));
    both.find(|(other, _)| *other == name).unwrap_or_else(|| panic!("no {name}")).1.parse().unwrap()
}
