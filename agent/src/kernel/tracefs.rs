//! Tracefs, the filesystem that contains the IDs of tracepoints, which are needed to attach programs. Most hosts have
//! it mounted. On other hosts, the agent mounts it while it attaches programs.

use std::{ffi::CStr, path::PathBuf};

const PLACE: &CStr = c"/sys/kernel/tracing";

/// The current mount point of tracefs.
pub(super) fn root() -> Option<PathBuf> {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].map(PathBuf::from);
    places.into_iter().find(|place| place.join("events").exists())
}

/// Mounts tracefs for this process if the host has not mounted it, in a mount namespace of its own that ends with the
/// process. Mounts of the host still appear in it. For a process that gives up the privilege to mount; must be called before
/// other threads start. If it fails, [`Tracefs::mounted`] reports it when a program needs tracefs.
pub(crate) fn mount_for_this_process() {
    if root().is_some() {
        return;
    }
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    // SAFETY: the strings are NUL-terminated or null as permitted, and there is no data.
    let refused = unsafe {
        libc::unshare(libc::CLONE_NEWNS) != 0
            || libc::mount(none, root, none, libc::MS_REC | libc::MS_SLAVE, std::ptr::null()) != 0
            || mount() != 0
    };
    if refused {
        tracing::debug!("mount tracefs for this process: {}", std::io::Error::last_os_error());
    }
}

fn mount() -> i32 {
    let kind = c"tracefs".as_ptr();
    // SAFETY: the strings are NUL-terminated, and there is no data.
    unsafe { libc::mount(kind, PLACE.as_ptr(), kind, libc::MS_NOEXEC, std::ptr::null()) }
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
        let refused = mount();
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
