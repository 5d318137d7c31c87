//! The system call in which a thread waits, and what it waits for there.

use crate::snapshot::threads::ThreadActivity;

/// The content of `/proc/PID/task/TID/syscall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The thread runs.
    Running,
    /// In the kernel, but not in a system call: a page fault.
    Fault,
    /// In a system call.
    Made {
        /// Its number.
        number: i64,
        /// Its first argument, which is a descriptor for many calls.
        descriptor: u64,
    },
}

impl Call {
    pub(super) fn parse(text: &str) -> Self {
        let mut fields = text.split_ascii_whitespace();
        let Some(number) = fields.next().and_then(|field| field.parse::<i64>().ok()) else {
            return Self::Running;
        };
        if number < 0 {
            return Self::Fault;
        }
        let argument = fields.next().and_then(|field| field.strip_prefix("0x"));
        let descriptor = argument.and_then(|field| u64::from_str_radix(field, 16).ok());
        Self::Made { number, descriptor: descriptor.unwrap_or(u64::MAX) }
    }
}

/// Whether the call waits for another process in an uninterruptible sleep.
pub(super) fn is_of_process(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if matches!(number, libc::SYS_vfork | libc::SYS_fork) {
        return true;
    }
    matches!(number, libc::SYS_clone | libc::SYS_clone3 | libc::SYS_wait4 | libc::SYS_exit_group)
}

/// Whether the first argument is a descriptor that may be a file, a pipe or a socket.
pub(super) const fn is_on_descriptor(number: i64) -> bool {
    matches!(
        number,
        libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_pread64
            | libc::SYS_preadv
            | libc::SYS_preadv2
            | libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_pwrite64
            | libc::SYS_pwritev
            | libc::SYS_pwritev2
            | libc::SYS_sendfile
    )
}

/// What a thread in any other call waits for.
pub(super) fn activity_of(number: i64) -> ThreadActivity {
    #[cfg(target_arch = "x86_64")]
    match number {
        libc::SYS_epoll_wait | libc::SYS_poll | libc::SYS_select | libc::SYS_accept => {
            return ThreadActivity::Events;
        }
        libc::SYS_open | libc::SYS_stat | libc::SYS_lstat | libc::SYS_access => return ThreadActivity::File,
        _ => {}
    }
    match number {
        libc::SYS_futex => ThreadActivity::Lock,
        libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_recvmmsg
        | libc::SYS_sendto
        | libc::SYS_sendmsg
        | libc::SYS_sendmmsg
        | libc::SYS_connect => ThreadActivity::Socket,
        libc::SYS_epoll_pwait
        | libc::SYS_epoll_pwait2
        | libc::SYS_ppoll
        | libc::SYS_pselect6
        | libc::SYS_accept4
        | libc::SYS_io_uring_enter => ThreadActivity::Events,
        libc::SYS_openat
        | libc::SYS_newfstatat
        | libc::SYS_fstat
        | libc::SYS_statx
        | libc::SYS_faccessat
        | libc::SYS_getdents64
        | libc::SYS_fsync
        | libc::SYS_fdatasync
        | libc::SYS_flock
        | libc::SYS_unlinkat
        | libc::SYS_renameat2 => ThreadActivity::File,
        _ => ThreadActivity::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_a_number_and_may_have_a_descriptor() {
        assert_eq!(Call::parse("running\n"), Call::Running);
        assert_eq!(Call::parse(""), Call::Running);
        assert_eq!(Call::parse("-1 0x7ffc 0x7f36\n"), Call::Fault);
        assert_eq!(Call::parse("0 0x4 0x7f36\n"), Call::Made { number: 0, descriptor: 4 });
        assert_eq!(Call::parse("34 x"), Call::Made { number: 34, descriptor: u64::MAX });
    }

    #[test]
    fn waits_are_told_apart_by_their_calls() {
        for (number, activity) in [
            (libc::SYS_futex, ThreadActivity::Lock),
            (libc::SYS_recvfrom, ThreadActivity::Socket),
            (libc::SYS_epoll_pwait, ThreadActivity::Events),
            (libc::SYS_openat, ThreadActivity::File),
            (libc::SYS_clock_nanosleep, ThreadActivity::Other),
        ] {
            assert_eq!(activity_of(number), activity, "{number}");
            assert!(!is_on_descriptor(number));
        }
        assert!(is_on_descriptor(libc::SYS_read) && is_of_process(libc::SYS_clone));
    }
}
