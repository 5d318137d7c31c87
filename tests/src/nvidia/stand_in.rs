//! The kernel modules that stand in for the NVIDIA driver in a guest, loaded for one test, with device nodes.

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

/// The path of `fake-cuda` in guests of `cargo xtask vm`.
pub const APPLICATION: &str = "/bin/fake-cuda";

/// Major number of the driver's own devices, and minor number of the control device.
const MAJOR: u32 = 195;
const CTL_MINOR: u32 = 255;

/// Device nodes as in a container. They are removed when dropped.
pub struct Nodes {
    directory: TempDir,
}

impl Nodes {
    /// Creates `ctl`, `gpu`, `uvm` and `tools` with the numbers of the loaded driver.
    ///
    /// # Errors
    /// If no driver is loaded, or the kernel refuses.
    pub fn make() -> anyhow::Result<Self> {
        let registered = fs::read_to_string("/proc/devices").context("read /proc/devices")?;
        let uvm = registered.lines().find_map(|line| line.trim().strip_suffix(" nvidia-uvm"));
        let uvm = uvm.context("find nvidia-uvm in /proc/devices")?.parse().context("read its major")?;
        let directory = tempfile::tempdir().context("make a directory")?;
        for (name, major, minor) in
            [("ctl", MAJOR, CTL_MINOR), ("gpu", MAJOR, 0), ("uvm", uvm, 0), ("tools", uvm, 1)]
        {
            let path = CString::new(directory.path().join(name).as_os_str().as_bytes())?;
            // SAFETY: a C string that outlives the call.
            let made =
                unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(major, minor)) };
            if made != 0 {
                return Err(io::Error::last_os_error()).with_context(|| format!("make node {name}"));
            }
        }
        Ok(Self { directory })
    }

    /// Their directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// The loaded modules, which answer as one release. They stay loaded when dropped; the next test reloads them.
pub struct StandIn {
    nodes: Nodes,
    release: Release,
}

impl StandIn {
    /// Reloads the modules with the release and the memory size of a test.
    ///
    /// # Errors
    /// If there are no modules for this kernel, or they are in use.
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

    /// The only GPU, for every number.
    fn gpu(&self, _number: usize) -> PathBuf {
        self.nodes.directory().join("gpu")
    }

    fn uvm(&self) -> PathBuf {
        self.nodes.directory().join("uvm")
    }

    fn release(&self) -> Release {
        self.release
    }

    /// The agent finds it like the real driver, in /proc/devices and /proc/driver/nvidia/version.
    fn configure(&self, _config: &mut Config) {}
}
