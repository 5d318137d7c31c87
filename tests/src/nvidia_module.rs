//! The stand-in for the NVIDIA driver (`tests/nvidia-module`) in a guest: `cargo xtask vm` builds one for each kernel
//! and puts it into `/modules`, init loads it, and tests load it again with other parameters.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
    path::PathBuf,
};

use anyhow::Context as _;

/// The guest's module for its own kernel; `None` where it has none.
#[must_use]
pub fn file() -> Option<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(PathBuf::from("/modules").join(release.trim())).filter(|path| path.is_file())
}

/// Loads the module, with parameters such as `memory_mib=64 release=535.104.05`.
///
/// # Errors
/// Where this kernel has no module, or refuses it.
pub fn load(parameters: &str) -> anyhow::Result<()> {
    let path = file().context("find a module for this kernel in /modules")?;
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let parameters = CString::new(parameters).context("make a C string of the parameters")?;
    // SAFETY: the descriptor and the string live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error()).with_context(|| format!("load {} {parameters:?}", path.display()))
}

/// Unloads the module.
///
/// # Errors
/// Where it is in use or not loaded.
pub fn unload() -> anyhow::Result<()> {
    // SAFETY: a C string that lives for ever.
    let result = unsafe { libc::syscall(libc::SYS_delete_module, c"nvidia".as_ptr(), libc::O_NONBLOCK) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error()).context("unload the module nvidia")
}
