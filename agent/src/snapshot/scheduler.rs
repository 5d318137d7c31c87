//! Run-queue waits, time on CPU and context switches of a container, as the kernel programs count them.

pub use glassbox_ebpf::{histogram::Histogram, scheduler::SchedulerCounters};
