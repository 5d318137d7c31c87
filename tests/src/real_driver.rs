//! NVIDIA's real driver in a guest without a GPU (`cargo xtask vm --real-driver`): its modules, a client that sends requests
//! to it, and an account of the recorded requests.
//!
//! [`client`] sends requests and keeps no account. The recorder (`tests/ioctl-recorder`, preloaded into the client) records
//! each call with the caller's structure before and after. [`account`] decodes the record by the driver's published headers.
//! The tests (`tests/tests/real_driver.rs`) compare that account with the metrics of the agent.

pub mod account;
pub mod client;
pub mod container;
pub mod driver;
mod names;
#[path = "../ioctl-recorder/src/record.rs"]
pub mod record;
mod structures;
