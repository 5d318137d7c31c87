//! The application as a library, with one function per CUDA call instead of whole profiles.

use std::path::Path;

use anyhow::Context as _;

use super::{
    context,
    memory::{self, Allocation, Refused},
    profile::Flags,
    session::{Driver, Session},
};

/// An application with one connection to the driver. When dropped, it frees what it holds.
pub struct Application {
    driver: Driver,
    session: Session,
    held: Vec<Allocation>,
}

/// The result of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocated {
    /// It succeeded; this is the address.
    At(u64),
    /// The driver has not enough memory.
    NoMemory,
}

impl Application {
    /// Opens the driver's files in a directory, for one of its GPUs.
    ///
    /// # Errors
    /// If the files are missing, or the release is invalid.
    pub fn open(directory: &Path, gpu: u32, release: &str) -> anyhow::Result<Self> {
        let driver = Driver {
            ctl: directory.join("nvidiactl"),
            gpu: directory.join(format!("nvidia{gpu}")),
            uvm: directory.join("nvidia-uvm"),
            release: release.parse().context("read the driver's release")?,
        };
        Ok(Self { session: Session::open(&driver)?, driver, held: Vec::new() })
    }

    /// Sends the requests that create a context.
    ///
    /// # Errors
    /// If the driver returns an unexpected status.
    pub fn context(&mut self) -> anyhow::Result<()> {
        context::run(&mut self.session, &self.driver)
    }

    /// Allocates GPU memory.
    ///
    /// # Errors
    /// As for [`Application::context`].
    pub fn allocate(&mut self, bytes: u64) -> anyhow::Result<Allocated> {
        self.session.connect()?;
        Ok(match memory::allocate_heap(&mut self.session, bytes)? {
            Ok(allocation) => {
                let address = allocation.address();
                self.held.push(allocation);
                Allocated::At(address)
            }
            Err(Refused) => Allocated::NoMemory,
        })
    }

    /// Frees memory. Returns false if there is none at the address.
    ///
    /// # Errors
    /// As for [`Application::context`].
    pub fn free(&mut self, address: u64) -> anyhow::Result<bool> {
        let Some(at) = self.held.iter().rposition(|allocation| allocation.address() == address) else {
            return Ok(false);
        };
        let allocation = self.held.swap_remove(at);
        memory::free(&mut self.session, vec![allocation], &Flags::default())?;
        Ok(true)
    }
}
