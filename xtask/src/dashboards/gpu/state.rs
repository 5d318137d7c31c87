//! Which container is in which state.

use crate::dashboards::{
    panel::{NEARLY_FULL, Panel, Row},
    promql::{CONTAINER, growth, promql},
};

/// The label's values, each with the number and the colour that stand for it. A container without a GPU is left out.
const STATES: [(u32, &str, &str); 5] = [
    (1, "busy", "green"),
    (2, "loading", "blue"),
    (3, "idle_with_memory", "yellow"),
    (4, "waiting_for_cpu", "orange"),
    (5, "stuck_in_driver", "red"),
];

const ABOUT: &str = "\
**busy**: a GPU works for it. **loading**: it makes its context or fills GPU memory. **idle_with_memory**: it could \
work and does not, and what it holds nobody else can have. **waiting_for_cpu**: the GPU idles because its threads get \
no CPU. **stuck_in_driver**: for 10 s no call to the driver has ended.

Calls to the driver are **no measure of how busy a GPU is**: CUDA starts kernels by writing to memory, without a call, \
and a busy GPU may see none for minutes. They tell of memory, of contexts, of failures and of start-up; NVML tells how \
busy it is.";

/// The row.
pub(super) fn row() -> Row {
    let of = |(number, state, _): &(u32, &str, &str)| {
        format!("{number} * (glassbox_container_gpu_state{{CONTAINERS, state=\"{state}\"}} == 1)")
    };
    let state = format!("max EACH ({})", STATES.iter().map(of).collect::<Vec<_>>().join(" or "));
    Row {
        title: "Which container is in which state?",
        panels: vec![
            Panel::states(
                "State",
                &STATES,
                "What each container does with its GPUs. Containers that never used one are not shown; a gap is a \
                 time in which it was not known.",
            )
            .query(CONTAINER, &promql(&state)),
            Panel::table("Containers on GPUs", "What each holds and gets now, and what it was refused in the time shown.")
                .size(18, 9)
                .column("State", "none", &promql(&state))
                .named(&STATES)
                .column(
                    "GPU memory",
                    "bytes",
                    &promql("sum EACH (glassbox_container_gpu_memory_used_bytes{HOLDERS})"),
                )
                .column(
                    "Of the GPU's",
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
                    "Refused for good",
                    "short",
                    &promql(&format!("{} - {}", sum_of("failures"), sum_of("failures_recovered"))),
                )
                .coloured(&[(0.5, "red")])
                .column(
                    "Waits for the driver",
                    "s",
                    &promql("max EACH (glassbox_nvidia_ioctl_waiting_seconds{CONTAINERS})"),
                )
                .coloured(&[(5.0, "yellow"), (10.0, "red")]),
            Panel::text("What the states mean, and what calls do not", ABOUT).size(6, 9),
        ],
    }
}

fn sum_of(what: &str) -> String {
    let counter = format!("glassbox_gpu_memory_allocation_{what}_total{{CONTAINERS}}");
    format!("sum EACH {}", growth(&counter, "$__range"))
}
