//! The files, handles and addresses of one application. All calls to the driver are made here.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, RawFd},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{
    super::abi::{Device, Release, bytes::put_u32, class, frontend, request::Request, status},
    ledger::{Answer, Ledger},
};

/// The paths of the driver and its release.
#[derive(Clone)]
pub(super) struct Driver {
    pub(super) ctl: PathBuf,
    pub(super) gpu: PathBuf,
    pub(super) uvm: PathBuf,
    pub(super) release: Release,
}

/// A connection to the driver, with a client, the GPU and its address space.
pub(super) struct Session {
    pub(super) release: Release,
    pub(super) ctl: File,
    pub(super) gpu: File,
    pub(super) uvm: File,
    /// Files that libcuda opens and never uses.
    pub(super) spare: Vec<File>,
    gpu_number: u32,
    pub(super) ledger: Ledger,
    pub(super) client: u32,
    pub(super) device: u32,
    next_handle: u32,
    next_address: u64,
}

impl Session {
    /// Opens the three files, without sending a request.
    pub(super) fn open(driver: &Driver) -> anyhow::Result<Self> {
        let open = |path: &PathBuf| {
            let file = File::options().read(true).write(true).open(path);
            file.with_context(|| format!("open {}", path.display()))
        };
        Ok(Self {
            release: driver.release,
            ctl: open(&driver.ctl)?,
            gpu: open(&driver.gpu)?,
            uvm: open(&driver.uvm)?,
            spare: Vec::new(),
            gpu_number: number(&driver.gpu),
            ledger: Ledger::default(),
            client: 0,
            device: 0,
            next_handle: 0x5C00_0000,
            next_address: 0x0002_0000_0000,
        })
    }

    fn file(&self, device: Device) -> RawFd {
        match device {
            Device::Ctl => self.ctl.as_raw_fd(),
            Device::Gpu => self.gpu.as_raw_fd(),
            Device::Uvm => self.uvm.as_raw_fd(),
        }
    }

    /// Sends a request and accounts for the answer.
    pub(super) fn call(&mut self, request: &mut Request) -> Answer {
        let answer = send(self.file(request.device), request);
        self.ledger.count(request, answer);
        answer
    }

    /// Sends a request inside an XFER request.
    pub(super) fn call_wrapped(&mut self, inner: &mut Request) -> Answer {
        spoil_status(inner);
        let mut outer = frontend::wrapped(self.release, inner);
        let answer = match send(self.file(inner.device), &mut outer) {
            Answer::Plain => inner.status().map_or(Answer::Plain, Answer::Status),
            failed => failed,
        };
        self.ledger.count(&outer, answer);
        answer
    }

    /// Sends a request that must succeed.
    pub(super) fn must(&mut self, request: &mut Request) -> anyhow::Result<()> {
        let answer = self.call(request);
        if !matches!(answer, Answer::Status(status::OK | status::WARNINGS..) | Answer::Plain) {
            bail!("send request {:#x} to {}: {answer:?}", request.number, request.device.name());
        }
        Ok(())
    }

    /// Returns an unused handle.
    pub(super) fn handle(&mut self) -> u32 {
        self.next_handle += 1;
        self.next_handle
    }

    /// Reserves a range of addresses.
    pub(super) fn addresses(&mut self, bytes: u64) -> u64 {
        let address = self.next_address;
        self.next_address += bytes.next_multiple_of(2 << 20);
        address
    }

    /// Allocates an object, which must succeed. Returns its handle.
    pub(super) fn object(&mut self, parent: u32, class: u32, params: (u64, u32)) -> anyhow::Result<u32> {
        let new = self.handle();
        self.must(&mut frontend::alloc(self.release, [self.client, parent, new], class, params))?;
        let sums = &mut self.ledger.sums;
        match class {
            class::COMPUTE => sums.contexts += 1,
            class::CHANNEL => sums.channels += 1,
            class::EVENT_OS_EVENT => sums.events += 1,
            _ => {}
        }
        Ok(new)
    }

    /// Creates a client with a device, if there is none yet.
    pub(super) fn connect(&mut self) -> anyhow::Result<()> {
        if self.client == 0 { self.reconnect() } else { Ok(()) }
    }

    /// Creates another client with a device.
    pub(super) fn reconnect(&mut self) -> anyhow::Result<()> {
        let mut root = frontend::alloc(self.release, [0, 0, 0], class::ROOT_CLIENT, (0, 0));
        self.must(&mut root)?;
        self.client = root.get_u32(8);
        // `NV0080_ALLOC_PARAMETERS` begins with the index of the GPU.
        let mut params = [0_u8; 56];
        let gpu = self.gpu_number();
        params[..4].copy_from_slice(&gpu.to_le_bytes());
        self.device = self.object(self.client, class::DEVICE, (params.as_mut_ptr() as u64, 56))?;
        Ok(())
    }

    /// The file of the control device, for requests that name it.
    pub(super) fn control_file(&self) -> RawFd {
        self.ctl.as_raw_fd()
    }

    /// The number of its GPU.
    pub(super) fn gpu_number(&self) -> u32 {
        self.gpu_number
    }
}

/// Calls `ioctl`. The size of the struct is that in the request word, or follows from the release.
pub(super) fn send(file: RawFd, request: &mut Request) -> Answer {
    spoil_status(request);
    match ioctl(file, request.word, request.bytes.as_mut_ptr() as u64) {
        0 => request.status().map_or(Answer::Plain, Answer::Status),
        errno => Answer::Errno(errno),
    }
}

/// Sets an invalid status, so that a status that the driver does not write is noticed.
fn spoil_status(request: &mut Request) {
    if let Some(at) = request.status_at {
        put_u32(&mut request.bytes, at, u32::MAX);
    }
}

/// Calls `ioctl` with any argument. Returns its errno, or 0.
pub(super) fn ioctl(file: RawFd, word: u32, argument: u64) -> i32 {
    // SAFETY: the stand-ins write only within the struct that the word and the release describe, or fail. Callers with other
    // arguments pass memory of their own that nothing else uses, or an invalid address.
    let result = unsafe { libc::ioctl(file, libc::c_ulong::from(word) as _, argument) };
    if result == 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) }
}

/// The number at the end of a path.
fn number(path: &Path) -> u32 {
    path.to_str().and_then(|path| path.chars().last()?.to_digit(10)).unwrap_or(0)
}
