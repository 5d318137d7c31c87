//! A fake CUDA application: it sends what libcuda sends and accounts for all of it.
//!
//! The program is `fake-cuda`. [`FakeCuda`] runs it for a test. It uses only `ioctl` and no code of the agent, so that its
//! account is independent.

mod context;
mod hostile;
mod ledger;
mod library;
mod memory;
mod process;
mod profile;
mod session;
mod storm;

pub use context::controls;
pub use library::{Allocated, Application};
pub use process::FakeCuda;
pub use profile::main;
