//! The application as a library's caller moves it: one call at a time, instead of whole profiles.

use std::path::Path;

use anyhow::Context as _;

use super::{
    context,
    memory::{self, Allocation, Refused},
    profile::Flags,
    session::{Driver, Session},
};

/// An application with one connection to the driver; what it holds goes when it is dropped.
pub struct Application {
    driver: Driver,
    session: Session,
    held: Vec<Allocation>,
}

/// What became of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocated {
    /// It is there, at this address.
    At(u64),
    /// The driver has no memory for it.
    NoMemory,
}

impl Application {
    /// Opens the driver's files in a directory, with one of its GPUs.
    ///
    /// # Errors
    /// Where they are not there, or the release is none.
    pub fn open(directory: &Path, gpu: u32, release: &str) -> anyhow::Result<Self> {
        let driver = Driver {
            ctl: directory.join("nvidiactl"),
            gpu: directory.join(format!("nvidia{gpu}")),
            uvm: directory.join("nvidia-uvm"),
            release: release.parse().context("read the driver's release")?,
        };
        Ok(Self { session: Session::open(&driver)?, driver, held: Vec::new() })
    }

    /// Sends what making a context takes.
    ///
    /// # Errors
    /// Where the driver answers what no sound driver does.
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

    /// Gives memory back; false where there is none at the address.
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
