//! What to do if the listener's address cannot be had.

use std::io;

/// What to do if listening fails.
#[must_use]
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, maybe another agent, listens there; choose another address with --listen or `listen`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this is not an address of this host; give --listen or `listen` one of its own, or 0.0.0.0 for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 take CAP_NET_BIND_SERVICE; choose a higher one with --listen or `listen`"
        }
        _ => "choose another address with --listen or `listen`",
    }
}
