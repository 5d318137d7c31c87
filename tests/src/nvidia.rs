//! Stand-ins for a machine with NVIDIA GPUs: a driver that answers the real requests, and a CUDA application that sends them
//! and keeps an exact account.
//!
//! Both use [`abi`], which is written from the driver's published headers and independently of the agent's tables, so that
//! the agent's decoding is compared with a second reading of the same source.
//!
//! [`truth`] has the tests that compare the agent with that account. They run with [`driver::FakeDriver`] on a host and with
//! [`stand_in::StandIn`] in a guest.

pub mod abi;
pub mod account;
pub mod application;
pub mod driver;
pub mod stand_in;
pub mod truth;
pub mod watch;

use std::path::PathBuf;

use glassbox::config::Config;

/// A driver for the application.
pub trait Driver {
    /// `nvidiactl`
    fn ctl(&self) -> PathBuf;
    /// `nvidia0` and so on.
    fn gpu(&self, number: usize) -> PathBuf;
    /// `nvidia-uvm`
    fn uvm(&self) -> PathBuf;
    /// Its release.
    fn release(&self) -> abi::Release;
    /// Sets the parts of the agent's configuration that it cannot detect.
    fn configure(&self, config: &mut Config);
}
