//! Waits for the signals that end a program, instead of handling them.

use std::time::Duration;

/// SIGINT, SIGTERM and SIGHUP, blocked in this thread and those that it starts.
pub struct Signals(libc::sigset_t);

/// Blocks the signals. It applies to all threads if it is called before they are started.
#[must_use]
pub fn block() -> Signals {
    // SAFETY: a signal set is plain data, and outlives the call.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut signals, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        Signals(signals)
    }
}

impl Signals {
    /// Waits for one of the signals.
    pub fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both outlive the call.
        unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
    }

    /// Waits for one of the signals with a timeout of less than a second.
    #[must_use]
    pub fn came_within(&self, limit: Duration) -> bool {
        let limit = libc::timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        // SAFETY: both outlive the call; a null pointer means that the information about the signal is not returned.
        unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const limit) > 0 }
    }
}
