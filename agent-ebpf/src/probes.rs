//! The kernel programs, one module per probe. A collector of the same name reads most of them in user space;
//! `containers` serves all collectors, `empty` serves the benchmarks, and `lossy` serves tests.

mod containers;
mod empty;
mod host_network;
mod lossy;
mod nvidia_driver;
mod oom;
mod packet;
mod programs;
mod requests;
mod scheduler;
mod sockets;
