//! One module per noun; user space reads each through the collector of the same name.

mod containers;
mod empty;
mod host_network;
mod nvidia_driver;
mod oom;
mod scheduler;
