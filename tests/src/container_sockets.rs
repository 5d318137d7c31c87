//! Sockets that belong to a cgroup while the test uses them.
//!
//! A socket belongs to the cgroup of the process that created it. A child process in the cgroup creates sockets and passes
//! them to the test. A connection that is accepted on such a socket belongs to that cgroup, too.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use crate::cgroup::Cgroup;

/// Bytes of a request to the child, and of its response.
pub const REQUEST_BYTES: u64 = size_of::<Request>() as u64;
/// See [`REQUEST_BYTES`].
pub const RESPONSE_BYTES: u64 = 1;

/// A child process in a cgroup.
pub struct ContainerSockets {
    pid: libc::pid_t,
    control: OwnedFd,
}

/// What the child does: creates a socket, or writes to a pair of unix sockets and reads from it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Request {
    domain: i32,
    kind: i32,
    /// Of the socket; 0 for the usual one.
    protocol: i32,
    /// Number of writes to a pair of unix sockets; 0 to create a socket.
    writes: i32,
}

impl ContainerSockets {
    /// Starts the child in the cgroup.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn of(cgroup: &Cgroup) -> Self {
        let mut pair = [0; 2];
        // SAFETY: an array of two descriptors, as the call requires.
        let result = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) };
        assert_eq!(result, 0, "socketpair: {}", io::Error::last_os_error());
        // SAFETY: the child calls only async-signal-safe functions and never returns from here.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
        if pid == 0 {
            // SAFETY: no pointers; the descriptor belongs to the parent.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::close(pair[0]);
            }
            serve(pair[1]);
        }
        // SAFETY: the descriptors were created above and have no other owner.
        let (control, _child) = unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) };
        cgroup.enter(pid).unwrap_or_else(|error| panic!("move {pid} into the cgroup: {error}"));
        Self { pid, control }
    }

    /// The child's process ID.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A new socket of the cgroup.
    ///
    /// # Panics
    /// If the child cannot create it.
    #[must_use]
    pub fn socket(&self, domain: i32, kind: i32) -> OwnedFd {
        self.socket_of(domain, kind, 0)
    }

    /// A new socket of the cgroup with a protocol, such as that of a raw socket.
    ///
    /// # Panics
    /// If the child cannot create it.
    #[must_use]
    pub fn socket_of(&self, domain: i32, kind: i32, protocol: i32) -> OwnedFd {
        self.request(Request { domain, kind, protocol, writes: 0 });
        receive(&self.control).unwrap_or_else(|| panic!("no socket: {}", io::Error::last_os_error()))
    }

    /// Lets the child transfer this many times 4096 bytes through a pair of unix sockets.
    ///
    /// # Panics
    /// If the child fails.
    pub fn transfer_through_unix_sockets(&self, writes: i32) {
        self.request(Request { domain: 0, kind: 0, protocol: 0, writes });
        assert!(receive(&self.control).is_none());
    }

    /// Lets the child enter a new network namespace, in which it creates its next sockets.
    ///
    /// # Panics
    /// If the child has ended.
    pub fn enter_a_new_network(&self) {
        self.request(Request { domain: NEW_NETWORK, kind: 0, protocol: 0, writes: 0 });
        assert!(receive(&self.control).is_none());
    }

    fn request(&self, request: Request) {
        // SAFETY: a live value and its size.
        let sent = unsafe {
            libc::write(self.control.as_raw_fd(), (&raw const request).cast(), size_of::<Request>())
        };
        assert_eq!(sent, size_of::<Request>() as isize, "{}", io::Error::last_os_error());
    }
}

/// In place of a domain.
const NEW_NETWORK: i32 = -1;

impl Drop for ContainerSockets {
    fn drop(&mut self) {
        // SAFETY: the child is ours and not yet reaped; its status is not needed.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// Space for one descriptor in a control message, aligned.
type Control = [u64; 4];

/// Receives a response, with its socket if it has one.
fn receive(control: &OwnedFd) -> Option<OwnedFd> {
    let (mut byte, mut space) = ([0u8; 1], Control::default());
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all pointers are to live values with the given sizes; the kernel wrote the descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_control, message.msg_controllen) =
            (space.as_mut_ptr().cast(), size_of::<Control>() as _);
        let received = libc::recvmsg(control.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
        assert_eq!(received, 1, "the child has ended: {}", io::Error::last_os_error());
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (!header.is_null())
            .then(|| OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()))
    }
}

/// Serves requests until the test ends. Makes only async-signal-safe calls.
fn serve(control: RawFd) -> ! {
    loop {
        let mut request = Request { domain: 0, kind: 0, protocol: 0, writes: 0 };
        // SAFETY: all pointers are to live values with the given sizes.
        unsafe {
            let received = libc::read(control, (&raw mut request).cast(), size_of::<Request>());
            if received != size_of::<Request>() as isize {
                libc::_exit(0);
            }
            let mut socket = -1;
            if request.writes > 0 {
                transfer(request.writes);
            } else if request.domain == NEW_NETWORK {
                // If the kernel refuses, the test notices.
                libc::unshare(libc::CLONE_NEWNET);
            } else {
                socket = libc::socket(request.domain, request.kind | libc::SOCK_CLOEXEC, request.protocol);
            }
            let (byte, mut space) = ([0u8; 1], [0u64; 4]);
            let mut part = libc::iovec { iov_base: byte.as_ptr().cast_mut().cast(), iov_len: 1 };
            let mut message: libc::msghdr = std::mem::zeroed();
            (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
            if socket >= 0 {
                message.msg_control = space.as_mut_ptr().cast();
                message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
                let header = libc::CMSG_FIRSTHDR(&raw const message);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
                libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(socket);
            }
            libc::sendmsg(control, &raw const message, 0);
            if socket >= 0 {
                libc::close(socket);
            }
        }
    }
}

fn transfer(writes: i32) {
    let (mut pair, mut data) = ([0; 2], [0u8; 4096]);
    // SAFETY: all pointers are to live values with the given sizes.
    unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr());
        for _ in 0..writes {
            // send(2) and recv(2), not write(2) and read(2): both ways are reported on all kernels with the hook.
            libc::send(pair[0], data.as_ptr().cast(), data.len(), 0);
            libc::recv(pair[1], data.as_mut_ptr().cast(), data.len(), libc::MSG_PEEK);
            libc::recv(pair[1], data.as_mut_ptr().cast(), data.len(), 0);
        }
        libc::close(pair[0]);
        libc::close(pair[1]);
    }
}
