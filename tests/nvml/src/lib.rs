//! A `libnvidia-ml.so.1` for hosts without a GPU: NVML's C interface, with what it says in a file.
//!
//! The scenario ([`scenario::Scenario`], JSON) is the file that the environment variable `GLASSBOX_NVML_SCENARIO` names,
//! else the one beside the library with `.json` after its name. It is looked at again at every call, so a test changes
//! the world by replacing the file. A copy of the library has a world of its own.
//!
//! What is true of the real one is true here: strings need room, a count is asked for without a buffer, old samples are
//! not told again, a process list can be empty, handles die with `nvmlShutdown`, unsupported fields fail one by one. Any
//! call can be told to fail, to hang, or to be missing (it then says FUNCTION_NOT_FOUND).

pub mod device;
pub mod events;
pub mod gpm;
pub mod lists;
pub mod scenario;
pub mod state;
pub mod system;
