//! The driver's modules, the fake GPU and the device nodes in a guest.

use std::{
    ffi::CString,
    fs, io,
    path::{Path, PathBuf},
    sync::Once,
};

use anyhow::Context as _;

use crate::{kernel_module, nvidia::abi::Release};

/// The directory of the modules in guests of `cargo xtask vm`.
const DIR: &str = "/real-driver";
/// Major number of the devices of nvidia.ko.
pub const MAJOR: u32 = 195;
/// Minor number of `/dev/nvidiactl`.
pub const CTL_MINOR: u32 = 255;

/// Whether this is a guest with the real driver.
#[must_use]
pub fn is_here() -> bool {
    module("nvidia").is_file()
}

/// The file of a module, for tests that load it themselves.
#[must_use]
pub fn module(name: &str) -> PathBuf {
    Path::new(DIR).join(format!("{name}.ko"))
}

/// Loads nvidia.ko for a fake GPU, optionally nvidia-uvm, and creates device nodes.
///
/// # Panics
/// If that fails.
pub fn load(with_uvm: bool) {
    static FAKE_GPU: Once = Once::new();
    unload();
    FAKE_GPU.call_once(|| insert("fake_gpu", fake_gpu()));
    insert("nvidia", "");
    node("nvidiactl", MAJOR, CTL_MINOR);
    node("nvidia0", MAJOR, 0);
    if with_uvm {
        load_uvm().unwrap_or_else(|error| panic!("{error:#}"));
    }
}

/// Loads nvidia-uvm and creates its nodes, as nvidia-modprobe does.
///
/// # Errors
/// If the kernel refuses.
pub fn load_uvm() -> anyhow::Result<()> {
    kernel_module::load(&module("nvidia-uvm"), "")?;
    let major = uvm_major().context("find nvidia-uvm in /proc/devices")?;
    node("nvidia-uvm", major, 0);
    node("nvidia-uvm-tools", major, 1);
    Ok(())
}

/// Unloads all modules of the driver.
///
/// # Panics
/// If a module is in use.
pub fn unload() {
    for name in ["nvidia_uvm", "nvidia"] {
        if kernel_module::is_loaded(name) {
            kernel_module::unload(name).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}

/// Reports an Xid error with the driver's own function.
///
/// # Panics
/// If that fails.
pub fn report_xid(number: u32, times: u32) {
    insert("report_xid", &format!("number={number} times={times}"));
    kernel_module::unload("report_xid").unwrap_or_else(|error| panic!("{error:#}"));
}

/// The release of the loaded driver.
///
/// # Errors
/// If none is loaded.
pub fn release() -> anyhow::Result<Release> {
    fs::read_to_string("/sys/module/nvidia/version").context("read the driver's version")?.trim().parse()
}

/// The PCI address of the fake GPU, as the driver writes it.
///
/// # Panics
/// If the driver did not register one.
#[must_use]
pub fn gpu_address() -> String {
    let gpus = fs::read_dir("/proc/driver/nvidia/gpus");
    let gpu = gpus.ok().and_then(|gpus| gpus.flatten().next());
    let gpu = gpu.unwrap_or_else(|| panic!("the driver registered no GPU"));
    gpu.file_name().to_string_lossy().into_owned()
}

/// The major number of nvidia-uvm; `None` if it is not loaded.
#[must_use]
pub fn uvm_major() -> Option<u32> {
    let devices = fs::read_to_string("/proc/devices").ok()?;
    devices.lines().find_map(|line| line.trim().strip_suffix(" nvidia-uvm"))?.parse().ok()
}

/// An H100 for the open modules, which support GPUs from Turing on; an A40 for the proprietary ones.
fn fake_gpu() -> &'static str {
    let licence = fs::read(module("nvidia")).unwrap_or_default();
    let is_open = licence.windows(16).any(|window| window == b"license=Dual MIT");
    if is_open {
        "device=0x2330 boot0=0x180000a1 boot42=0x180a1000"
    } else {
        "device=0x2235 boot0=0x172000a1 boot42=0x172a1000"
    }
}

fn insert(name: &str, parameters: &str) {
    kernel_module::load(&module(name), parameters).unwrap_or_else(|error| panic!("{error:#}"));
}

fn node(name: &str, major: u32, minor: u32) {
    let path = Path::new("/dev").join(name);
    // It may exist with the number of a module that was loaded before.
    let _ = fs::remove_file(&path);
    let c_path = CString::new(path.as_os_str().as_encoded_bytes())
        .unwrap_or_else(|error| panic!("make a C string: {error}"));
    // SAFETY: the string outlives the call.
    let made = unsafe { libc::mknod(c_path.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(major, minor)) };
    assert!(made == 0, "make {}: {}", path.display(), io::Error::last_os_error());
}
