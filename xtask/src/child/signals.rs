//! Terminates all commands on SIGINT, SIGTERM and SIGHUP.
//!
//! Handlers instead of blocked signals: exec resets handlers, so commands start with the default actions.

use std::io::{PipeReader, Read as _, Write as _, stderr};
use std::mem::MaybeUninit;
use std::os::fd::IntoRawFd as _;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Context as _;

use super::group;

const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Write end of the pipe from the handler to the thread.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Installs the handlers. A signal terminates all commands, then this process.
pub(crate) fn install() -> anyhow::Result<()> {
    let (reader, writer) = std::io::pipe().context("make a pipe for signals")?;
    PIPE.store(writer.into_raw_fd(), Ordering::Relaxed);
    for signal in SIGNALS {
        // `nohup` and shells set a signal to ignored for commands that must survive it.
        if !is_ignored(signal) {
            set(signal, on_signal as *const () as libc::sighandler_t);
        }
    }
    std::thread::spawn(move || wait(reader));
    Ok(())
}

fn wait(mut reader: PipeReader) {
    let mut signal = [0];
    if reader.read_exact(&mut signal).is_err() {
        return;
    }
    let signal = libc::c_int::from(signal[0]);
    let _guard = group::end_all(|| {
        // An error means that the terminal is gone.
        let _ = writeln!(stderr(), "\nStopping");
    });
    set(signal, libc::SIG_DFL);
    // SAFETY: raise takes no pointers.
    unsafe {
        libc::raise(signal);
    }
}

/// The handler. It makes only async-signal-safe calls.
extern "C" fn on_signal(signal: libc::c_int) {
    let byte = signal as u8;
    // SAFETY: errno is thread-local, and the byte lives until write returns.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action, the call only writes the current one, which is read only on success.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

fn set(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: an all-zero action is valid; the handler is a function of the right type or SIG_DFL.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}
