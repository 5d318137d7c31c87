//! Socket options that limit how much unread data the kernel buffers for a client.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Size of the send buffer; the kernel doubles it. By default, the buffer grows to 4 MB for a connection whose client
/// does not read.
const SEND_BUFFER_BYTES: libc::c_int = 256 * 1024;

/// Limits the send buffer. Connections inherit the option from the listener.
pub(super) fn bound_send_buffer(socket: BorrowedFd<'_>) {
    set(socket, libc::SO_SNDBUF, &SEND_BUFFER_BYTES);
}

/// Makes closing the connection drop all unsent data and send a reset to the client.
pub(super) fn reset_on_close(socket: BorrowedFd<'_>) {
    set(socket, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 });
}

/// Sets an option. After a failure, the kernel's default stays in effect.
fn set<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so it is open; `value` is `length` bytes long and outlives the call.
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
