//! Waits for the clock, for events and for the stop signal in one `poll`.

use std::{
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Stops the loop from another thread.
#[derive(Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Creates a waker, which is an eventfd.
    ///
    /// # Errors
    /// If the process has no file descriptors left.
    pub fn new() -> anyhow::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error()).context("create an eventfd");
        }
        // SAFETY: `fd` was just created and has no other owner.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Wakes the loop permanently.
    pub fn wake(&self) {
        let one = 1u64;
        // SAFETY: eight bytes of a live u64. A failed write means a full counter, so the loop is awake already.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }
}

pub(super) enum Woken {
    Time,
    Events,
    Stop,
}

/// Waits for the time, the stop signal or an event source. `pending` is true if events already wait in user space.
pub(super) fn until(
    due: Instant,
    sources: impl IntoIterator<Item = RawFd>,
    pending: bool,
    stop: &Waker,
) -> anyhow::Result<Woken> {
    let readable = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut fds: Vec<_> = std::iter::once(stop.0.as_raw_fd()).chain(sources).map(readable).collect();
    loop {
        let left = if pending { Duration::ZERO } else { due.saturating_duration_since(Instant::now()) };
        // Rounded up, because the loop would otherwise spin during the last millisecond.
        let timeout_ms = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        // SAFETY: the vector is live and its length is given.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
        if ready < 0 {
            let error = std::io::Error::last_os_error();
            if error.kind() == std::io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error).context("wait for the next tick");
        }
        if fds[0].revents != 0 {
            return Ok(Woken::Stop);
        }
        // The clock is checked first, so that a flood of events cannot delay a tick.
        if Instant::now() >= due {
            return Ok(Woken::Time);
        }
        if pending || fds[1..].iter().any(|source| source.revents != 0) {
            return Ok(Woken::Events);
        }
    }
}
