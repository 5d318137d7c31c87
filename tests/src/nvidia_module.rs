//! The stand-in for the NVIDIA driver (`tests/nvidia-module`) in a guest: `cargo xtask vm` builds its modules for each kernel
//! and puts them into `/modules`, init loads them, and tests load them again with other parameters.

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
    path::PathBuf,
};

use anyhow::Context as _;

use crate::nvidia::abi::Release;

/// The first release whose functions have the names of today.
const FIRST_WITHOUT_FRONTEND: Release = Release(545, 23, 6);

/// The directory of the guest's modules for its own kernel; `None` if it has none.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(PathBuf::from("/modules").join(release.trim())).filter(|path| path.is_dir())
}

/// Loads nvidia, with parameters such as `memory_mib=64 release=535.104.05`, and nvidia-uvm.
///
/// # Errors
/// If this kernel has no such modules, or refuses them.
pub fn load(parameters: &str) -> anyhow::Result<()> {
    load_driver(parameters)?;
    load_uvm()
}

/// Loads nvidia alone: the build that has the functions of the release.
///
/// # Errors
/// As [`load`].
pub fn load_driver(parameters: &str) -> anyhow::Result<()> {
    let release = parameters.split_whitespace().find_map(|parameter| parameter.strip_prefix("release="));
    let release: Option<Release> =
        release.map(|release| release.parse().context("read the release")).transpose()?;
    let has_frontend = release.is_some_and(|release| release < FIRST_WITHOUT_FRONTEND);
    insert(if has_frontend { "nvidia-frontend.ko" } else { "nvidia.ko" }, parameters)
}

/// Loads nvidia-uvm, after nvidia.
///
/// # Errors
/// As [`load`].
pub fn load_uvm() -> anyhow::Result<()> {
    insert("nvidia-uvm.ko", "")
}

fn insert(name: &str, parameters: &str) -> anyhow::Result<()> {
    let path = directory().context("find modules for this kernel in /modules")?.join(name);
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let parameters = CString::new(parameters).context("make a C string of the parameters")?;
    // SAFETY: the descriptor and the string live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error()).with_context(|| format!("load {} {parameters:?}", path.display()))
}

/// Unloads both modules.
///
/// # Errors
/// If one is in use, or nvidia is not loaded.
pub fn unload() -> anyhow::Result<()> {
    unload_uvm()?;
    remove(c"nvidia").context("unload the module nvidia")
}

/// Unloads nvidia-uvm, if it is loaded.
///
/// # Errors
/// If it is in use.
pub fn unload_uvm() -> anyhow::Result<()> {
    match remove(c"nvidia_uvm") {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result.context("unload the module nvidia_uvm"),
    }
}

fn remove(module: &CStr) -> io::Result<()> {
    // SAFETY: a C string that lives until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_delete_module, module.as_ptr(), libc::O_NONBLOCK) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
