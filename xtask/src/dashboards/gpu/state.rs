//! The GPU state of each container.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, growth, promql},
};

/// Values of the label `state`, each with its number and colour in the panel. Containers without a GPU are omitted.
const STATES: [(u32, &str, &str); 7] = [
    (1, "busy", "green"),
    (2, "loading", "blue"),
    (3, "idle_with_memory", "yellow"),
    (4, "waiting_for_cpu", "orange"),
    (5, "stuck_in_driver", "red"),
    (6, "spinning", "dark-red"),
    (7, "on_cpu_despite_gpu", "purple"),
];

const ABOUT: &str = "\
- **busy**: a GPU runs kernels of the container.
- **loading**: the container creates a context or fills GPU memory.
- **idle_with_memory**: the container holds GPU memory and runs no kernel.
- **waiting_for_cpu**: the GPU is idle because the container's threads wait for a CPU.
- **stuck_in_driver**: no driver call has ended for 10 s.
- **spinning**: a GPU looks busy and does nothing: its power is near that of an idle GPU, and nothing makes progress.
- **on_cpu_despite_gpu**: the container was given GPUs, uses none, and runs a model on the CPUs.

Driver calls do **not** show how busy a GPU is: CUDA launches kernels by writing to memory, without a call. A busy GPU \
may see no call for minutes. Driver calls show memory, contexts, failures and start-up; NVML shows utilization.";

pub(super) fn row() -> Row {
    let of = |(number, state, _): &(u32, &str, &str)| {
        format!("{number} * (glassbox_container_gpu_state{{CONTAINERS, state=\"{state}\"}} == 1)")
    };
    let state = format!("max EACH ({})", STATES.iter().map(of).collect::<Vec<_>>().join(" or "));
    Row {
        title: "GPU state at a glance",
        collectors: "nvml, nvidia_driver",
        panels: vec![
            Panel::states(
                "GPU state",
                &STATES,
                "GPU state of each container that has used a GPU. A gap means that the state was unknown.",
            )
            .query(CONTAINER, &promql(&state)),
            Panel::table(
                "Containers using GPUs",
                "Current GPU usage, and failed allocations in the time range.",
            )
            .size(18, 10)
            .column("State", "none", &promql(&state))
            .named(&STATES)
            .column(
                "GPU memory",
                "bytes",
                &promql("sum EACH (glassbox_container_gpu_memory_used_bytes{HOLDERS})"),
            )
            .column(
                "Share of memory",
                "percentunit",
                &promql("max EACH (glassbox_container_gpu_memory_used_ratio{HOLDERS})"),
            )
            .coloured(NEARLY_FULL)
            .column(
                "GPU time",
                "percentunit",
                &promql(
                    "sum EACH (rate(glassbox_container_gpu_busy_seconds_total{HOLDERS}[$__rate_interval]))",
                ),
            )
            .column(
                "Failed allocations",
                "short",
                &promql(&format!("{} - {}", sum_of("failures"), sum_of("failures_recovered"))),
            )
            .coloured(&[(0.5, "red")])
            .whole()
            .column(
                "Driver wait",
                "s",
                &promql("max EACH (glassbox_container_nvidia_ioctl_waiting_seconds{CONTAINERS})"),
            )
            .coloured(&[(5.0, "yellow"), (10.0, "red")]),
            Panel::text("GPU states", ABOUT).size(6, 10),
        ],
    }
}

fn sum_of(what: &str) -> String {
    let counter = format!("glassbox_container_gpu_memory_allocation_{what}_total{{CONTAINERS}}");
    format!("sum EACH {}", growth(&counter, "$__range"))
}
