//! The memory that a container holds now, and how much is left.

use crate::snapshot::{ContainerRow, host::Host, memory_leak::Memory};

/// The memory that it holds, in bytes; `None` if it is unknown.
///
/// Host memory is anonymous memory: page cache comes back when it is needed, and the resident set of processes counts
/// shared pages several times. Swapped-out memory is added, because swapping frees nothing.
pub(super) fn held_bytes(row: &ContainerRow, memory: Memory) -> Option<u64> {
    match memory {
        Memory::Gpu => {
            let used = row.gpus.iter().map(|gpu| gpu.memory_used_bytes);
            used.reduce(|sum, bytes| Some(sum?.saturating_add(bytes?)))?
        }
        Memory::Host => {
            let usage = &row.cgroup.memory;
            Some(usage.rss_bytes?.saturating_add(usage.swap_bytes.unwrap_or(0)))
        }
        Memory::Driver => {
            let counters = &row.nvidia_driver.as_ref()?.counters;
            Some(counters.allocated_bytes.saturating_sub(counters.freed_bytes))
        }
    }
}

/// The memory that is left, in bytes; `None` without a limit.
///
/// Of several GPUs, the one with the least free memory counts, as if all growth were there. The memory that an instance
/// of a GPU (MIG) has left is not known.
pub(super) fn left_bytes(row: &ContainerRow, host: &Host, memory: Memory) -> Option<u64> {
    match memory {
        Memory::Gpu => {
            let used = row.gpus.iter().filter(|gpu| gpu.memory_used_bytes > Some(0));
            let free = used.map(|used| {
                let gpu = host.gpus.iter().find(|gpu| gpu.uuid == used.uuid)?;
                gpu.memory_free_bytes.filter(|_| gpu.mig_enabled != Some(true))
            });
            free.reduce(|least, bytes| Some(least?.min(bytes?)))?
        }
        Memory::Host => {
            let limit = row.cgroup.limits.finite_memory_bytes()?;
            Some(limit.saturating_sub(row.cgroup.memory.rss_bytes?))
        }
        Memory::Driver => None,
    }
}
