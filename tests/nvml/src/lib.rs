//! A `libnvidia-ml.so.1` for hosts without a GPU: NVML's C interface with values from a file.
//!
//! The scenario ([`scenario::Scenario`], JSON) is the file that the environment variable `GLASSBOX_NVML_SCENARIO` names, by
//! default the library's path with `.json` appended. Every call reads it again, so a test changes the values by replacing
//! the file. Each copy of the library has its own scenario.
//!
//! It behaves like the real library: strings need a large enough buffer, a call without a buffer returns the count, old
//! samples are not returned again, a process list can be empty, handles become invalid with `nvmlShutdown`, and unsupported
//! fields fail individually. The scenario can make any call fail, hang, or be missing (it then returns FUNCTION_NOT_FOUND).

pub mod device;
pub mod events;
pub mod gpm;
pub mod lists;
pub mod scenario;
pub mod state;
pub mod system;
