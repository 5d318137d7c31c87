//! The GPU state of a container.

/// The states: the values of the label `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuState {
    /// Calls to the driver are in flight, and none has started or ended for a long time.
    StuckInDriver,
    /// As `NoGpu`, but the container was given GPUs and runs a model on the CPUs.
    OnCpuDespiteGpu,
    /// The driver has never allocated GPU resources for the container, and NVML does not report it on a GPU.
    NoGpu,
    /// GPUs look busy with work of the container, and do nothing.
    Spinning,
    /// A GPU runs work of the container.
    Busy,
    /// No GPU runs work of the container, and its threads wait for CPUs longer than they run.
    WaitingForCpu,
    /// No GPU runs work of the container yet: it creates its context or fills GPU memory.
    Loading,
    /// No GPU runs work of the container, although it has a context or GPU memory.
    Idle,
}

impl GpuState {
    /// All states, in the order of evaluation: the first one that applies is the state.
    pub const ALL: [Self; 8] = [
        Self::StuckInDriver,
        Self::OnCpuDespiteGpu,
        Self::NoGpu,
        Self::Spinning,
        Self::Busy,
        Self::WaitingForCpu,
        Self::Loading,
        Self::Idle,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoGpu => "no_gpu",
            Self::StuckInDriver => "stuck_in_driver",
            Self::OnCpuDespiteGpu => "on_cpu_despite_gpu",
            Self::Spinning => "spinning",
            Self::Busy => "busy",
            Self::WaitingForCpu => "waiting_for_cpu",
            Self::Loading => "loading",
            Self::Idle => "idle_with_memory",
        }
    }
}
