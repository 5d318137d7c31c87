//! The signals that end a program, waited for instead of handled.

use std::time::Duration;

/// SIGINT, SIGTERM and SIGHUP, blocked in this thread and those that it starts.
pub struct Signals(libc::sigset_t);

/// Blocks them. Called before there are threads, it holds for all.
#[must_use]
pub fn block() -> Signals {
    // SAFETY: a signal set is plain data, and lives through the calls.
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
    /// Waits for one of them.
    pub fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both live through the call.
        unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
    }

    /// Waits for one of them for so long, less than a second.
    #[must_use]
    pub fn came_within(&self, limit: Duration) -> bool {
        let limit = libc::timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        // SAFETY: both live through the call; what the signal brings is not asked for.
        unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const limit) > 0 }
    }
}
