//! One application's files, handles and addresses, and the one place where it calls the driver.

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

/// Where the driver is and what it speaks.
#[derive(Clone)]
pub(super) struct Driver {
    pub(super) ctl: PathBuf,
    pub(super) gpu: PathBuf,
    pub(super) uvm: PathBuf,
    pub(super) release: Release,
}

/// A connection to the driver with a client, the GPU and its addresses.
pub(super) struct Session {
    pub(super) release: Release,
    pub(super) ctl: File,
    pub(super) gpu: File,
    pub(super) uvm: File,
    /// Opened as libcuda does, and never used again.
    pub(super) spare: Vec<File>,
    gpu_number: u32,
    pub(super) ledger: Ledger,
    pub(super) client: u32,
    pub(super) device: u32,
    next_handle: u32,
    next_address: u64,
}

impl Session {
    /// Opens the three files, without a request.
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

    /// Sends a request that has to work.
    pub(super) fn must(&mut self, request: &mut Request) -> anyhow::Result<()> {
        let answer = self.call(request);
        if !matches!(answer, Answer::Status(status::OK | status::WARNINGS..) | Answer::Plain) {
            bail!("send request {:#x} to {}: {answer:?}", request.number, request.device.name());
        }
        Ok(())
    }

    /// A handle that is free.
    pub(super) fn handle(&mut self) -> u32 {
        self.next_handle += 1;
        self.next_handle
    }

    /// Addresses for so many bytes, that nothing else has.
    pub(super) fn addresses(&mut self, bytes: u64) -> u64 {
        let address = self.next_address;
        self.next_address += bytes.next_multiple_of(2 << 20);
        address
    }

    /// Allocates an object that has to be there, and returns its handle.
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

    /// Makes itself a client with a device, where it is none yet.
    pub(super) fn connect(&mut self) -> anyhow::Result<()> {
        if self.client == 0 { self.connect_anew() } else { Ok(()) }
    }

    /// Makes itself another client with a device.
    pub(super) fn connect_anew(&mut self) -> anyhow::Result<()> {
        let mut root = frontend::alloc(self.release, [0, 0, 0], class::ROOT_CLIENT, (0, 0));
        self.must(&mut root)?;
        self.client = root.get_u32(8);
        // `NV0080_ALLOC_PARAMETERS` begins with the number of the GPU among all.
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

/// The call itself. The struct is as long as its word says, or its release.
pub(super) fn send(file: RawFd, request: &mut Request) -> Answer {
    spoil_status(request);
    match ioctl(file, request.word, request.bytes.as_mut_ptr() as u64) {
        0 => request.status().map_or(Answer::Plain, Answer::Status),
        errno => Answer::Errno(errno),
    }
}

/// Gives a struct a status that no driver gives: an answer that was not written is none.
fn spoil_status(request: &mut Request) {
    if let Some(at) = request.status_at {
        put_u32(&mut request.bytes, at, u32::MAX);
    }
}

/// `ioctl` with any argument: its errno, or 0.
pub(super) fn ioctl(file: RawFd, word: u32, argument: u64) -> i32 {
    // SAFETY: the doubles write only within the struct that the word and the release describe, or fail. Callers with
    // an argument that is no such struct give memory of their own that nothing else uses, or none.
    let result = unsafe { libc::ioctl(file, libc::c_ulong::from(word) as _, argument) };
    if result == 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) }
}

/// The number at the end of a path.
fn number(path: &Path) -> u32 {
    path.to_str().and_then(|path| path.chars().last()?.to_digit(10)).unwrap_or(0)
}
