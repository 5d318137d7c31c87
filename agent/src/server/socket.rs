//! Two socket options, so that what a client does not read is not kept for it in the kernel either.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The most that the kernel holds of an answer for a client that does not read; the kernel doubles it. Left
/// alone, it grows to 4 MB per connection.
const SEND_BUFFER_BYTES: libc::c_int = 256 * 1024;

/// Bounds the send buffer. Set on a listener, its connections have it, too.
pub(super) fn bound_send_buffer(socket: BorrowedFd<'_>) {
    set(socket, libc::SO_SNDBUF, &SEND_BUFFER_BYTES);
}

/// Makes the close of a connection its end: what is still unsent is dropped, and the client told so by a
/// reset.
pub(super) fn reset_on_close(socket: BorrowedFd<'_>) {
    set(socket, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 });
}

/// Failure only leaves the kernel's usual way.
fn set<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so open; `value` is `length` bytes long and lives through the call.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            length,
        )
    };
    if outcome != 0 {
        tracing::debug!("set socket option {option}: {}", std::io::Error::last_os_error());
    }
}
