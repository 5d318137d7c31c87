//! Loads and unloads kernel modules, in guests.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
    path::Path,
};

use anyhow::Context as _;

/// Loads a module from a file, with parameters as in `insmod`.
///
/// # Errors
/// If the file cannot be opened, or the kernel refuses the module.
pub fn load(path: &Path, parameters: &str) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let parameters = CString::new(parameters).context("make a C string of the parameters")?;
    // SAFETY: the descriptor and the string outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error()).with_context(|| format!("load {} {parameters:?}", path.display()))
}

/// Unloads a module.
///
/// # Errors
/// If it is in use or not loaded.
pub fn unload(name: &str) -> anyhow::Result<()> {
    let c_name = CString::new(name).context("make a C string of the name")?;
    // SAFETY: the string outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_delete_module, c_name.as_ptr(), libc::O_NONBLOCK) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error()).with_context(|| format!("unload the module {name}"))
}

/// Whether a module is loaded.
#[must_use]
pub fn is_loaded(name: &str) -> bool {
    fs::exists(format!("/sys/module/{name}/refcnt")).unwrap_or(false)
}
