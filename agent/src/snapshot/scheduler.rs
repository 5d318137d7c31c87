//! Run-queue waits, on-CPU time and context switches of a container, counted by the kernel programs.

pub use glassbox_ebpf::{histogram::Histogram, scheduler::SchedulerCounters};
