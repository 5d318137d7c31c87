//! A machine with NVIDIA GPUs, without any: a driver that answers the real requests, and a CUDA application that sends
//! them and keeps a truthful account of what it sent.
//!
//! Both share [`abi`], which is written from the driver's published headers and knows nothing of the agent's own
//! tables: what the agent decodes is held against a second reading of the same source.

pub mod abi;
pub mod application;
pub mod driver;
