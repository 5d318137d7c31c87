//! Tracefs, the filesystem that contains the IDs of tracepoints, which are needed to attach programs. Most hosts have
//! it mounted. On other hosts, the agent mounts it while it attaches programs.

use std::{ffi::CStr, path::PathBuf};

const PLACE: &CStr = c"/sys/kernel/tracing";

/// The current mount point of tracefs.
pub(super) fn root() -> Option<PathBuf> {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].map(PathBuf::from);
    places.into_iter().find(|place| place.join("events").exists())
}

/// A guard that unmounts tracefs when dropped, if the agent mounted it.
#[derive(Debug)]
pub struct Tracefs {
    ours: bool,
}

impl Tracefs {
    /// Mounts tracefs if it is not mounted. If that fails, a warning is logged, and attaching fails later with an
    /// error.
    #[must_use]
    pub fn mounted() -> Self {
        if root().is_some() {
            return Self { ours: false };
        }
        // SAFETY: the strings are NUL-terminated, and there is no data.
        let refused = unsafe {
            libc::mount(
                c"tracefs".as_ptr(),
                PLACE.as_ptr(),
                c"tracefs".as_ptr(),
                libc::MS_NOEXEC,
                std::ptr::null(),
            )
        };
        if refused != 0 {
            let error = std::io::Error::last_os_error();
            tracing::warn!(
                "cannot mount tracefs, so some kernel programs cannot be attached: {error}; \
                 run: mount -t tracefs tracefs /sys/kernel/tracing"
            );
        }
        Self { ours: refused == 0 }
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.ours {
            // SAFETY: the string is NUL-terminated. An error is ignored, because a mount that stays is harmless.
            unsafe { libc::umount2(PLACE.as_ptr(), libc::MNT_DETACH) };
        }
    }
}
