//! The file system of tracepoints: it is where their numbers stand, which attaching needs. Most hosts have it mounted;
//! on others it is mounted for as long as attaching takes.

use std::{ffi::CStr, path::PathBuf};

const PLACE: &CStr = c"/sys/kernel/tracing";

/// Where it is mounted now.
pub(super) fn root() -> Option<PathBuf> {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].map(PathBuf::from);
    places.into_iter().find(|place| place.join("events").exists())
}

/// Unmounts what it mounted when dropped.
#[derive(Debug)]
pub struct Tracefs {
    ours: bool,
}

impl Tracefs {
    /// Makes sure that it is mounted. Where that is refused, attaching says what is missing.
    #[must_use]
    pub fn mounted() -> Self {
        if root().is_some() {
            return Self { ours: false };
        }
        // SAFETY: NUL-terminated strings, and no data.
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
            tracing::warn!("mount tracefs: {error}; type: mount -t tracefs tracefs /sys/kernel/tracing");
        }
        Self { ours: refused == 0 }
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.ours {
            // SAFETY: a NUL-terminated string. Nothing is done about a refusal: a mount that stays harms nobody.
            unsafe { libc::umount2(PLACE.as_ptr(), libc::MNT_DETACH) };
        }
    }
}
