//! A CUDA application without CUDA: it sends what libcuda sends, and accounts for all of it.
//!
//! The program is `fake-cuda`; this is what it consists of, and [`FakeCuda`] runs it for a test. It uses `ioctl` alone
//! and none of the agent's code, so that its account is a truth that the agent can be held against.

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
