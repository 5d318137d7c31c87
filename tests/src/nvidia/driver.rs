//! A driver without a GPU: a FUSE filesystem with `nvidiactl`, `nvidia0`, `nvidia1` and `nvidia-uvm`. Its files answer the
//! real requests in the layouts of one release.
//!
//! They are regular files, because the kernel does not open character devices of a FUSE filesystem; clients can see the
//! difference only with `stat`. It needs root. A request costs about 10 µs, most of it in the kernel. It is written against
//! `/dev/fuse` itself: a UVM request points to the caller's memory, and no FUSE library for Rust passes the caller's address
//! on.
//!
//! It is lenient if the real driver decides by state that clients cannot see: a client may be used from every file of the
//! control device, and UVM need not be initialized.

mod account;
mod caller;
mod frontend;
mod fuse;
mod heap;
mod serve;
mod state;
mod uvm;

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use glassbox::config::{self, Config};
use tempfile::TempDir;

use super::{Driver, abi::Release};
pub use account::Answered;
use serve::Server;

/// Number of GPUs.
pub const GPUS: usize = 2;

/// Commands of RM_CONTROL with the status 0x56, which some have on every GPU: no C2C link, no NVLink, no memory encryption.
pub const UNSUPPORTED: [u32; 6] =
    [0x0000_013a, 0x2080_182b, 0x2080_3001, 0x2080_3002, 0x2080_1358, 0x2080_1359];

/// The properties of the driver.
#[derive(Clone, Debug)]
pub struct Options {
    /// The release, which determines the layouts.
    pub release: Release,
    /// Memory of each GPU, MiB.
    pub memory_mib: u64,
    /// Minimum duration of a request, in µs.
    pub latency_us: u64,
    /// A request that is not answered until its caller is interrupted.
    pub hang: Option<Hang>,
    /// Commands of RM_CONTROL with the status 0x56.
    pub unsupported: Vec<u32>,
    /// The mount point; `None` for a new directory.
    pub mount: Option<PathBuf>,
    /// Number of threads, which is the limit of concurrent requests.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            release: Release(580, 65, 6),
            memory_mib: 1024,
            latency_us: 0,
            hang: None,
            unsupported: UNSUPPORTED.to_vec(),
            mount: None,
            threads: 8,
        }
    }
}

/// A request that hangs: `0x2a` is an escape, `uvm:33` a UVM command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hang {
    /// Whether it is a UVM command.
    pub uvm: bool,
    /// Its number.
    pub number: u32,
}

impl FromStr for Hang {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (uvm, number) = text.strip_prefix("uvm:").map_or((false, text), |number| (true, number));
        let parsed = match number.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        Ok(Self { uvm, number: parsed.with_context(|| format!("read request {text:?}"))? })
    }
}

/// A mounted driver. When dropped, it is unmounted, and pending requests fail.
pub struct FakeDriver {
    server: Arc<Server>,
    workers: Vec<JoinHandle<()>>,
    mount: PathBuf,
    release: Release,
    _directory: Option<TempDir>,
}

impl FakeDriver {
    /// Mounts the filesystem and starts to answer. Mounts of drivers that were killed are removed first.
    ///
    /// # Errors
    /// If the kernel refuses, because root or FUSE is missing.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        fuse::sweep();
        let directory = match &options.mount {
            Some(_) => None,
            None => Some(TempDir::with_prefix("glassbox-fake-nvidia-").context("make a directory")?),
        };
        let mount = options.mount.clone().or_else(|| directory.as_ref().map(|made| made.path().to_owned()));
        let mount = mount.context("choose a directory")?;
        let connection =
            fuse::Connection::mount(&mount).with_context(|| format!("mount {}", mount.display()))?;
        let (release, threads) = (options.release, options.threads.max(1));
        let server = Arc::new(Server::new(connection, options));
        let workers = (0..threads).map(|_| {
            let server = Arc::clone(&server);
            std::thread::Builder::new().name("fake-nvidia".to_owned()).spawn(move || server.serve())
        });
        let workers = workers.collect::<io::Result<Vec<_>>>();
        if workers.is_err() {
            fuse::unmount(&mount).context("unmount")?;
        }
        Ok(Self { workers: workers.context("start threads")?, server, mount, release, _directory: directory })
    }

    /// Its directory, in place of `/dev`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.mount
    }

    /// `nvidiactl`
    #[must_use]
    pub fn ctl(&self) -> PathBuf {
        self.mount.join("nvidiactl")
    }

    /// `nvidia0` or `nvidia1`
    #[must_use]
    pub fn gpu(&self, number: usize) -> PathBuf {
        self.mount.join(format!("nvidia{number}"))
    }

    /// `nvidia-uvm`
    #[must_use]
    pub fn uvm(&self) -> PathBuf {
        self.mount.join("nvidia-uvm")
    }

    /// Its release.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// The part of an agent's configuration that refers to it.
    #[must_use]
    pub fn configuration(&self) -> String {
        configuration(&[self])
    }

    /// The content of its `/proc/driver/nvidia/version`.
    #[must_use]
    pub fn version_text(&self) -> String {
        format!(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Thu Jan  1 00:00:00 UTC 1970\nGCC version:  \n",
            self.release
        )
    }

    /// Memory of a GPU that clients hold, in bytes.
    #[must_use]
    pub fn used_bytes(&self, gpu: usize) -> u64 {
        self.server.state().used_bytes(gpu)
    }

    /// Number of clients of the resource manager.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.server.state().clients()
    }

    /// Number of open files.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.server.state().open_files()
    }

    /// Number of hanging requests.
    #[must_use]
    pub fn hanging(&self) -> usize {
        self.server.hanging()
    }

    /// Answered requests by device and request, in the driver's own count.
    #[must_use]
    pub fn answered(&self) -> Vec<Answered> {
        self.server.state().answered()
    }

    /// Waits until no file is open. The driver sees the end of a client a little later than others do.
    #[must_use]
    pub fn idle_within(&self, limit: Duration) -> bool {
        let deadline = std::time::Instant::now() + limit;
        while self.open_files() > 0 {
            if std::time::Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

/// The part of an agent's configuration that refers to drivers of one release. Its keys are those of the root table.
#[must_use]
pub fn configuration(drivers: &[&FakeDriver]) -> String {
    let paths = |of: fn(&FakeDriver) -> Vec<PathBuf>| -> Vec<PathBuf> {
        drivers.iter().flat_map(|driver| of(driver)).collect()
    };
    let release = drivers.first().map_or_else(String::new, |driver| driver.release.to_string());
    format!(
        "nvidia_driver.release = {release:?}\nnvidia_driver.extra_ctl_paths = {:?}\n\
         nvidia_driver.extra_gpu_paths = {:?}\nnvidia_driver.extra_uvm_paths = {:?}\n",
        paths(|driver| vec![driver.ctl()]),
        paths(|driver| (0..GPUS).map(|gpu| driver.gpu(gpu)).collect()),
        paths(|driver| vec![driver.uvm()]),
    )
}

impl Driver for FakeDriver {
    fn ctl(&self) -> PathBuf {
        self.ctl()
    }

    fn gpu(&self, number: usize) -> PathBuf {
        self.gpu(number)
    }

    fn uvm(&self) -> PathBuf {
        self.uvm()
    }

    fn release(&self) -> Release {
        self.release
    }

    /// Its files are not devices, and no file in /proc has its release.
    fn configure(&self, config: &mut Config) {
        let Release(major, minor, patch) = self.release;
        config.nvidia_driver = config::NvidiaDriver {
            extra_ctl_paths: vec![self.ctl()],
            extra_gpu_paths: (0..GPUS).map(|gpu| self.gpu(gpu)).collect(),
            extra_uvm_paths: vec![self.uvm()],
            release: Some(config::Release(major, minor, patch)),
            ..config.nvidia_driver.clone()
        };
    }
}

impl Drop for FakeDriver {
    fn drop(&mut self) {
        // The threads end with the connection. If it cannot be ended, waiting for them would block.
        if self.workers.iter().all(JoinHandle::is_finished) || fuse::unmount(&self.mount).is_ok() {
            for worker in self.workers.drain(..) {
                drop(worker.join());
            }
        }
        drop(fuse::unmount(&self.mount));
    }
}
