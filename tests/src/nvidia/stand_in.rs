//! The stand-in for the NVIDIA driver in a guest, loaded for one test, with nodes of its devices.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use glassbox::config::Config;
use tempfile::TempDir;

use super::{Driver, abi::Release};
use crate::nvidia_module;

/// `fake-cuda` as `cargo xtask vm` puts it into a guest.
pub const APPLICATION: &str = "/bin/fake-cuda";

/// Major of the driver's own devices, and the minor of the control device.
const MAJOR: u32 = 195;
const CTL_MINOR: u32 = 255;

/// Nodes of the devices, as a container has them; removed when dropped.
pub struct Nodes {
    directory: TempDir,
}

impl Nodes {
    /// Makes `ctl`, `gpu`, `uvm` and `tools` by the numbers of the driver that is loaded now.
    ///
    /// # Errors
    /// Where no driver is loaded, or the kernel refuses.
    pub fn make() -> anyhow::Result<Self> {
        let registered = fs::read_to_string("/proc/devices").context("read /proc/devices")?;
        let uvm = registered.lines().find_map(|line| line.trim().strip_suffix(" nvidia-uvm"));
        let uvm = uvm.context("find nvidia-uvm in /proc/devices")?.parse().context("read its major")?;
        let directory = tempfile::tempdir().context("make a directory")?;
        for (name, major, minor) in
            [("ctl", MAJOR, CTL_MINOR), ("gpu", MAJOR, 0), ("uvm", uvm, 0), ("tools", uvm, 1)]
        {
            let path = CString::new(directory.path().join(name).as_os_str().as_bytes())?;
            // SAFETY: a C string that lives until the call returns.
            let made =
                unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(major, minor)) };
            if made != 0 {
                return Err(io::Error::last_os_error()).with_context(|| format!("make node {name}"));
            }
        }
        Ok(Self { directory })
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A stand-in that answers as one release. It stays loaded when dropped; the next test loads it anew.
pub struct StandIn {
    nodes: Nodes,
    release: Release,
}

impl StandIn {
    /// Unloads the one that is there and loads it with the release and the memory that a test needs.
    ///
    /// # Errors
    /// Where there is none for this kernel, or somebody uses it.
    pub fn load(release: Release, memory_mib: u64) -> anyhow::Result<Self> {
        nvidia_module::unload()?;
        nvidia_module::load(&format!("memory_mib={memory_mib} release={release}"))?;
        Ok(Self { nodes: Nodes::make()?, release })
    }
}

impl Driver for StandIn {
    fn ctl(&self) -> PathBuf {
        self.nodes.directory().join("ctl")
    }

    /// One GPU, whatever its number.
    fn gpu(&self, _number: usize) -> PathBuf {
        self.nodes.directory().join("gpu")
    }

    fn uvm(&self) -> PathBuf {
        self.nodes.directory().join("uvm")
    }

    fn release(&self) -> Release {
        self.release
    }

    /// The agent finds it as it finds the real one: by /proc/devices and /proc/driver/nvidia/version.
    fn configure(&self, _config: &mut Config) {}
}
