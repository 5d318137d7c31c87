//! NVML through its stand-in, by way of the real nvml-wrapper: what the agent makes of what a library says.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "nvml/containers.rs"]
mod containers;
#[path = "nvml/errors.rs"]
mod errors;
#[path = "nvml/exposition.rs"]
mod exposition;
#[path = "nvml/host.rs"]
mod host;
#[path = "nvml/implausible.rs"]
mod implausible;
#[path = "nvml/liveness.rs"]
mod liveness;
#[path = "nvml/unreported.rs"]
mod unreported;
