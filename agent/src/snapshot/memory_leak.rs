//! Memory that a container holds between its busy periods, and whether it grows from job to job.
//! docs/memory-leaks.md has the definitions.

use std::time::Duration;

/// A kind of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// GPU memory of its processes as NVML reports it, summed over GPUs.
    Gpu,
    /// Anonymous memory of its processes, swapped or not; without page cache and tmpfs.
    Host,
    /// GPU memory that the NVIDIA driver granted and no call has freed since.
    Driver,
}

impl Memory {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Gpu, Self::Host, Self::Driver];

    /// The value of the label `memory`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Host => "host",
            Self::Driver => "driver",
        }
    }
}

/// The floor of one kind of memory of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryFloor {
    /// The kind.
    pub memory: Memory,
    /// The least memory, in bytes, that it held since its last busy period, or before the current one.
    pub floor_bytes: u64,
    /// How the floor changes; `None` until there are enough floors.
    pub trend: Option<Trend>,
    /// Whether the growth is a suspected leak. `None` until there are enough floors, and for [`Memory::Driver`] if
    /// NVML reports the same memory.
    pub is_suspected: Option<bool>,
    /// Time until the memory is full at this rate; only of a suspected leak, if there is a limit.
    pub full_in: Option<Duration>,
}

/// How floors change. Negative values mean that they shrink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Bytes per job.
    pub bytes_per_job: f64,
    /// Bytes per hour.
    pub bytes_per_hour: f64,
}
