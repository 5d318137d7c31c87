//! The tables of metric families, one module per subject.

mod agent;
mod container_gpu;
mod cpu;
mod dcgm;
mod disk;
mod facefusion;
mod filesystem;
mod gpu;
mod gpu_health;
mod health;
mod inference;
mod jobs;
mod lifecycle;
mod machine;
mod memory;
mod memory_leak;
mod network;
mod nvidia_driver;
mod nvml;
mod oom;
mod pages;
mod pressure;
mod processes;
mod programs;
mod requests;
mod scheduler;
mod socket_states;
mod sockets;
mod spec;

use super::family::Family;

/// Every subject with its families, in the order of the output.
const SUBJECTS: [(&str, &[Family]); 29] = [
    ("lifecycle", lifecycle::FAMILIES),
    ("cpu", cpu::FAMILIES),
    ("memory", memory::FAMILIES),
    ("memory_leak", memory_leak::FAMILIES),
    ("pages", pages::FAMILIES),
    ("filesystem", filesystem::FAMILIES),
    ("disk", disk::FAMILIES),
    ("pressure", pressure::FAMILIES),
    ("processes", processes::FAMILIES),
    ("network", network::FAMILIES),
    ("socket_states", socket_states::FAMILIES),
    ("sockets", sockets::FAMILIES),
    ("requests", requests::FAMILIES),
    ("jobs", jobs::FAMILIES),
    ("facefusion", facefusion::FAMILIES),
    ("health", health::FAMILIES),
    ("oom", oom::FAMILIES),
    ("programs", programs::FAMILIES),
    ("spec", spec::FAMILIES),
    ("scheduler", scheduler::FAMILIES),
    ("nvidia_driver", nvidia_driver::FAMILIES),
    ("inference", inference::FAMILIES),
    ("gpu", gpu::FAMILIES),
    ("gpu_health", gpu_health::FAMILIES),
    ("container_gpu", container_gpu::FAMILIES),
    ("nvml", nvml::FAMILIES),
    ("dcgm", dcgm::FAMILIES),
    ("machine", machine::FAMILIES),
    ("agent", agent::FAMILIES),
];

/// Every subject with its families, in the order of the output.
pub fn subjects() -> impl Iterator<Item = (&'static str, &'static [Family])> {
    SUBJECTS.into_iter()
}

/// Every family, in the order of the output.
pub fn families() -> impl Iterator<Item = &'static Family> {
    subjects().flat_map(|(_, families)| families)
}
