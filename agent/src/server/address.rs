//! Advice for the user if the listener cannot bind its address.

use std::io;

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
