//! Whether anything is failing.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, growth, promql},
};

const RED_FROM_ONE: &[(f64, &str)] = &[(0.5, "red")];

/// The row.
pub(super) fn row() -> Row {
    let mut panels = numbers();
    panels.extend(lines());
    Row { title: "Is anything failing?", panels }
}

fn numbers() -> Vec<Panel> {
    let number = |title, unit, description, query: &str| {
        Panel::number(title, unit, description).query("", &promql(query))
    };
    let in_all = |selector: &str| format!("sum({})", growth(selector, "$__range"));
    vec![
        Panel::up_down(
            "GPUs",
            "up",
            "lost",
            "Lost: it has fallen off the bus, waits for a reset, could not be initialized (then it is shown by its PCI \
             address), or NVML hangs.",
        )
        .query(
            "{{instance}} GPU {{gpu}}{{pci_bus_id}}",
            &promql("min by (instance, gpu, pci_bus_id) (glassbox_gpu_up{GPUS})"),
        ),
        number(
            "Memory refused for good",
            "short",
            "Allocations that the driver refused and after which nothing as large was granted, in the time shown.",
            &format!(
                "{} - {}",
                in_all("glassbox_gpu_memory_allocation_failures_total{CONTAINERS}"),
                in_all("glassbox_gpu_memory_allocation_failures_recovered_total{CONTAINERS}")
            ),
        )
        .once()
        .limits(RED_FROM_ONE),
        number(
            "Longest wait for the driver",
            "s",
            "How long no call of a container has begun or ended while some are under way. Red from 10 s: it hangs.",
            "max(glassbox_nvidia_ioctl_waiting_seconds{CONTAINERS})",
        )
        .highest()
        .limits(&[(5.0, "yellow"), (10.0, "red")]),
        number(
            "Xid errors",
            "short",
            "Errors that the driver reported, in the time shown.",
            &in_all("glassbox_gpu_xid_errors_total{GPUS}"),
        )
        .once()
        .limits(RED_FROM_ONE),
        number(
            "Clocks held down",
            "percentunit",
            "Share of time, on the GPU, for the reason and at the time where it is longest.",
            "max(rate(glassbox_gpu_throttled_seconds_total{GPUS, reason!=\"low_utilization\"}[$__rate_interval]))",
        )
        .highest()
        .limits(&[(0.1, "yellow"), (0.5, "red")]),
        number(
            "Uncorrected memory errors",
            "short",
            "Of the GPUs' own memory (ECC): the most at any time shown.",
            "sum(increase(glassbox_gpu_ecc_errors_total{GPUS, kind=\"uncorrected\"}[$__rate_interval]))",
        )
        .highest()
        .limits(RED_FROM_ONE),
    ]
}

fn lines() -> Vec<Panel> {
    let lines = |title, unit, description| Panel::lines(title, unit, description).size(8, 8);
    let grown =
        |by: &str, selector: &str| promql(&format!("sum {by} {}", growth(selector, "$__rate_interval")));
    vec![
        lines(
            "Refused allocations of GPU memory",
            "short",
            "Recovered: the same process then got as much, as a framework that empties its cache does. What is \
             refused and not recovered, a request has lost.",
        )
        .query(
            "{{container}} {{pod}} {{reason}}",
            &grown(
                "by (instance, namespace, pod, container, reason)",
                "glassbox_gpu_memory_allocation_failures_total{CONTAINERS}",
            ),
        )
        .query(
            "{{container}} {{pod}} recovered",
            &grown("EACH", "glassbox_gpu_memory_allocation_failures_recovered_total{CONTAINERS}"),
        )
        .query(
            "{{container}} {{pod}} memory of the host",
            &grown("EACH", "glassbox_gpu_host_memory_allocation_failures_total{CONTAINERS}"),
        ),
        lines(
            "Waiting for the driver",
            "s",
            "Time since a call last began or ended while some are under way; nothing where none is. It grows \
             where the driver hangs.",
        )
        .query(CONTAINER, &promql("max EACH (glassbox_nvidia_ioctl_waiting_seconds{CONTAINERS})")),
        lines(
            "Xid errors by number",
            "short",
            "NVIDIA's list of Xid errors explains the numbers; 79 is a GPU that has fallen off the bus.",
        )
        .query(
            "{{instance}} GPU {{gpu}} Xid {{xid}}",
            &grown("by (instance, gpu, xid)", "glassbox_gpu_xid_errors_total{GPUS}"),
        ),
        Panel::states(
            "Why clocks are held down",
            &[(1, "active", "orange")],
            "The reasons in force at each scrape. That the GPU is idle is none.",
        )
        .size(12, 8)
        .query(
            "{{instance}} GPU {{gpu}} {{reason}}",
            &promql(
                "max by (instance, gpu, reason) (glassbox_gpu_throttle_active{GPUS, reason!=\"idle\"}) == 1",
            ),
        ),
        lines("Time with clocks held down", "percentunit", "As the driver measures it, by reason. That there is little to do is none.")
            .size(12, 8)
            .up_to(1.0)
            .query(
                "{{instance}} GPU {{gpu}} {{reason}}",
                &promql(
                    "max by (instance, gpu, reason) \
                     (rate(glassbox_gpu_throttled_seconds_total{GPUS, reason!=\"low_utilization\"}[$__rate_interval]))",
                ),
            ),
    ]
}
