//! The address of the listener: where this host reaches it, and advice for the user if it cannot be bound.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The address at which the listener can be reached from this host.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// What the user can do about a bind error.
#[must_use]
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, maybe another agent, is listening on it; choose another address with --listen or `listen`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this is not an address of this host; set --listen or `listen` to one of its addresses, or to 0.0.0.0 for all"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 require CAP_NET_BIND_SERVICE; choose a higher port with --listen or `listen`"
        }
        _ => "choose another address with --listen or `listen`",
    }
}
