//! What a container is doing with its GPUs, in one word.

/// The states, as the label `state` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuState {
    /// A call to the driver has been under way for long, and no other has ended since.
    StuckInDriver,
    /// The driver never gave it anything, nor does NVML see it.
    NoGpu,
    /// A GPU works for it.
    Busy,
    /// No GPU works for it, and its threads wait for a CPU more than they run.
    WaitingForCpu,
    /// No GPU works for it yet: it makes its context, or fills GPU memory.
    Loading,
    /// It could work, and does not: what it holds of GPU memory is of no use to anyone.
    Idle,
}

impl GpuState {
    /// All, in the order in which they are asked for: the first that applies is the state.
    pub const ALL: [Self; 6] =
        [Self::StuckInDriver, Self::NoGpu, Self::Busy, Self::WaitingForCpu, Self::Loading, Self::Idle];

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoGpu => "no_gpu",
            Self::StuckInDriver => "stuck_in_driver",
            Self::Busy => "busy",
            Self::WaitingForCpu => "waiting_for_cpu",
            Self::Loading => "loading",
            Self::Idle => "idle_with_memory",
        }
    }
}
