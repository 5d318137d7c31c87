//! The tables, one module per subject.

pub mod agent;
pub mod container_gpu;
pub mod cpu;
pub mod dcgm;
pub mod disk;
pub mod filesystem;
pub mod gpu;
pub mod gpu_health;
pub mod lifecycle;
pub mod machine;
pub mod memory;
pub mod network;
pub mod nvidia_driver;
pub mod nvml;
pub mod oom;
pub mod pages;
pub mod pressure;
pub mod processes;
pub mod scheduler;
pub mod sockets;
pub mod spec;
