//! A machine with NVIDIA GPUs, without any: a driver that answers the real requests, and a CUDA application that sends
//! them and keeps a truthful account of what it sent.
//!
//! Both share [`abi`], which is written from the driver's published headers and knows nothing of the agent's own
//! tables: what the agent decodes is held against a second reading of the same source.
//!
//! [`truth`] has the tests that hold the agent against that account, whichever driver it is that answers:
//! [`driver::FakeDriver`] on a host, [`stand_in::StandIn`] in a guest.

pub mod abi;
pub mod account;
pub mod application;
pub mod driver;
pub mod stand_in;
pub mod truth;
pub mod watch;

use std::path::PathBuf;

use glassbox::config::Config;

/// A driver that the application can be played against.
pub trait Driver {
    /// `nvidiactl`
    fn ctl(&self) -> PathBuf;
    /// `nvidia0` and so on.
    fn gpu(&self, number: usize) -> PathBuf;
    /// `nvidia-uvm`
    fn uvm(&self) -> PathBuf;
    /// Its release.
    fn release(&self) -> abi::Release;
    /// Tells the agent what it cannot find out by itself.
    fn configure(&self, config: &mut Config);
}
