//! A driver without a GPU: a FUSE file system with `nvidiactl`, `nvidia0`, `nvidia1` and `nvidia-uvm`, whose files
//! answer the real requests in the layouts of one release.
//!
//! They are regular files, which the kernel lets be opened where a character device of a FUSE file system is refused;
//! a client is told apart from one of the real driver only by what `stat` says. Needs root. A request costs about
//! 10 µs, most of it the way through the kernel and back. Written against `/dev/fuse` itself: what a UVM request
//! points to lies in the caller's memory, and no FUSE library for Rust hands on the caller's address.
//!
//! Where the real driver decides by more than its clients can see, the double is lenient: a client may be used from
//! every file of the control device, and UVM does not insist on being initialised.

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

/// GPUs of the fake machine.
pub const GPUS: usize = 2;

/// Commands of RM_CONTROL that answer 0x56, as some do on every GPU: no C2C link, no NVLink, no encryption of memory.
pub const UNSUPPORTED: [u32; 6] =
    [0x0000_013a, 0x2080_182b, 0x2080_3001, 0x2080_3002, 0x2080_1358, 0x2080_1359];

/// What kind of driver to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose layouts to speak.
    pub release: Release,
    /// Memory of each GPU, MiB.
    pub memory_mib: u64,
    /// How long every request takes at least, µs.
    pub latency_us: u64,
    /// A request that gets no answer until its caller is interrupted.
    pub hang: Option<Hang>,
    /// Commands of RM_CONTROL that answer 0x56.
    pub unsupported: Vec<u32>,
    /// Where to mount; a fresh directory where `None`.
    pub mount: Option<PathBuf>,
    /// Threads that answer. As many requests can be under way at once.
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

/// A mounted driver; gone when dropped, and with it the answers to all that is under way.
pub struct FakeDriver {
    server: Arc<Server>,
    workers: Vec<JoinHandle<()>>,
    mount: PathBuf,
    release: Release,
    _directory: Option<TempDir>,
}

impl FakeDriver {
    /// Mounts it and begins to answer. What an earlier one left mounted because it was killed is unmounted first.
    ///
    /// # Errors
    /// Where the kernel refuses, for want of root or of FUSE.
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

    /// Its directory, as good as `/dev`.
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

    /// What `/proc/driver/nvidia/version` would say.
    #[must_use]
    pub fn version_text(&self) -> String {
        format!(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Thu Jan  1 00:00:00 UTC 1970\nGCC version:  \n",
            self.release
        )
    }

    /// Memory of a GPU that clients hold, bytes.
    #[must_use]
    pub fn used_bytes(&self, gpu: usize) -> u64 {
        self.server.state().used_bytes(gpu)
    }

    /// Clients of the resource manager that live.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.server.state().clients()
    }

    /// Files that are open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.server.state().open_files()
    }

    /// Requests that hang now.
    #[must_use]
    pub fn hanging(&self) -> usize {
        self.server.hanging()
    }

    /// What was answered so far, by device and request: the driver's own account, to hold a client's against.
    #[must_use]
    pub fn answered(&self) -> Vec<Answered> {
        self.server.state().answered()
    }

    /// Waits until no file is open: a client's end reaches the driver a little after the client is gone.
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

    /// Its files stand for devices, and no /proc has its release.
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
        // Its threads end with the connection. One that could not be ended must not be waited for.
        if self.workers.iter().all(JoinHandle::is_finished) || fuse::unmount(&self.mount).is_ok() {
            for worker in self.workers.drain(..) {
                drop(worker.join());
            }
        }
        drop(fuse::unmount(&self.mount));
    }
}
