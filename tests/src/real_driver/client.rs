//! A client of the real driver. It sends valid, invalid and hostile requests. The account is kept by the recorder that is
//! preloaded into it.
//!
//! `driver-client WHAT`, with one of the words in [`main`]. The recorder is optional.

mod hostile;
mod orderly;
mod requests;

use std::{
    fs::{File, OpenOptions},
    os::fd::AsRawFd as _,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::driver;

/// Durations of the waits, in ms. The third wait uses `select`.
pub const WAITS_MS: [u32; 3] = [150, 150, 100];

/// Sends the requests that the first argument names.
///
/// # Errors
/// If the driver is not loaded, or a required device cannot be opened.
pub fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["orderly"] => orderly::run(),
        ["threads", threads, rounds] => orderly::run_threads(threads.parse()?, rounds.parse()?),
        ["hostile"] => hostile::run(),
        ["ioctl32"] => hostile::run_as_32_bit_program(),
        ["tools"] => hostile::use_tools(),
        ["waits"] => waits(),
        ["load-uvm"] => load_uvm(),
        ["cuda"] => cuda(),
        _ => bail!("unknown arguments {arguments:?}"),
    }
}

/// The devices that can be opened.
struct Devices {
    ctl: File,
    /// The fake GPU fails to initialize, so opening it fails in most releases.
    gpu: Option<File>,
    uvm: File,
}

impl Devices {
    fn open() -> anyhow::Result<Self> {
        Ok(Self { ctl: open("nvidiactl")?, gpu: open("nvidia0").ok(), uvm: open("nvidia-uvm")? })
    }
}

fn open(name: &str) -> anyhow::Result<File> {
    let path = format!("/dev/{name}");
    OpenOptions::new().read(true).write(true).open(&path).with_context(|| format!("open {path}"))
}

/// Waits for a device without events.
fn waits() -> anyhow::Result<()> {
    let ctl = open("nvidiactl")?;
    // The agent counts the waits of a process only after its first call of the driver.
    orderly::register_client(&ctl)?;
    let descriptor = ctl.as_raw_fd();
    let [first, second, third] = WAITS_MS;
    for timeout_ms in [first, second, 0] {
        let mut entry = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        // SAFETY: one live entry.
        unsafe { libc::poll(&raw mut entry, 1, timeout_ms.cast_signed()) };
    }
    let time = Duration::from_millis(third.into());
    let mut timeout = libc::timeval { tv_sec: 0, tv_usec: i64::from(time.subsec_micros()) };
    // SAFETY: an all-zero set is empty; all structures outlive the call, and the descriptor is below the set's size.
    unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(descriptor, &raw mut set);
        let none = std::ptr::null_mut();
        libc::select(descriptor + 1, &raw mut set, none, none, &raw mut timeout);
    }
    Ok(())
}

/// Does what the first CUDA process on a host does: a helper loads nvidia-uvm, and libcuda uses it immediately.
fn load_uvm() -> anyhow::Result<()> {
    let ctl = open("nvidiactl")?;
    orderly::register_client(&ctl)?;
    driver::load_uvm()?;
    orderly::use_uvm(&open("nvidia-uvm")?)
}

/// Makes the first calls of a program with NVIDIA's own libcuda. Without a working GPU, all of them return errors.
fn cuda() -> anyhow::Result<()> {
    // SAFETY: the initializers are those of NVIDIA's library.
    let library = unsafe { libloading::Library::new("libcuda.so.1") }.context("load libcuda.so.1")?;
    let mut count = -1_i32;
    // SAFETY: both functions have had these signatures since CUDA 1.
    let (initialized, counted) = unsafe {
        let init: libloading::Symbol<'_, unsafe extern "C" fn(u32) -> i32> =
            library.get(b"cuInit").context("find cuInit")?;
        let device_count: libloading::Symbol<'_, unsafe extern "C" fn(*mut i32) -> i32> =
            library.get(b"cuDeviceGetCount").context("find cuDeviceGetCount")?;
        (init(0), device_count(&raw mut count))
    };
    println!("cuInit {initialized}, cuDeviceGetCount {counted}: {count}");
    // The library has threads that end with the process.
    std::mem::forget(library);
    Ok(())
}
