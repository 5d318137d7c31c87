//! The kernel modules that stand in for the NVIDIA driver in a guest (`tests/nvidia-module`). `cargo xtask vm` builds them
//! for each kernel and puts them into `/modules`, init loads them, and tests reload them with other parameters.

use std::{fs, path::PathBuf};

use anyhow::Context as _;

use crate::{kernel_module, nvidia::abi::Release};

/// The first release whose functions have the current names.
const FIRST_WITHOUT_FRONTEND: Release = Release(545, 23, 6);

/// The directory of the modules for the guest's kernel; `None` if there is none.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(PathBuf::from("/modules").join(release.trim())).filter(|path| path.is_dir())
}

/// Loads nvidia, with parameters such as `memory_mib=64 release=535.104.05`, and nvidia-uvm.
///
/// # Errors
/// If there are no modules for this kernel, or it refuses them.
pub fn load(parameters: &str) -> anyhow::Result<()> {
    load_driver(parameters)?;
    load_uvm()
}

/// Loads nvidia alone, from the build with the functions of the release.
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
    kernel_module::load(&path, parameters)
}

/// Unloads both modules.
///
/// # Errors
/// If one is in use, or nvidia is not loaded.
pub fn unload() -> anyhow::Result<()> {
    unload_uvm()?;
    kernel_module::unload("nvidia")
}

/// Unloads nvidia-uvm, if it is loaded.
///
/// # Errors
/// If it is in use.
pub fn unload_uvm() -> anyhow::Result<()> {
    if kernel_module::is_loaded("nvidia_uvm") { kernel_module::unload("nvidia_uvm") } else { Ok(()) }
}
