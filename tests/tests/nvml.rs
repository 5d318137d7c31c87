//! NVML through the stand-in and the real nvml-wrapper: the agent's metrics for a library's values.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

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
#[path = "nvml/states.rs"]
mod states;
#[path = "nvml/unreported.rs"]
mod unreported;
