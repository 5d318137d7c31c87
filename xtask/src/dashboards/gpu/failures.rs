//! Failures of GPUs, of the driver and of allocations.

use crate::dashboards::{
    panel::{Panel, Row},
    promql::{CONTAINER, growth, promql},
};

const RED_FROM_ONE: &[(f64, &str)] = &[(0.5, "red")];

pub(super) fn row() -> Row {
    let mut panels = numbers();
    panels.extend(lines());
    Row { title: "Failures", collectors: "nvml, nvidia_driver", panels }
}

fn numbers() -> Vec<Panel> {
    let number = |title, unit, description, query: &str| {
        Panel::number(title, unit, description).query("", &promql(query))
    };
    let in_all = |selector: &str| format!("sum({})", growth(selector, "$__range"));
    vec![
        Panel::up_down(
            "GPU status",
            "up",
            "lost",
            "A GPU is lost if it has fallen off the bus, needs a reset or could not be initialized (then it is shown by its \
             PCI address), or if NVML hangs.",
        )
        .query(
            "{{instance}} GPU {{gpu}}{{pci_bus_id}}",
            &promql("min by (instance, gpu, pci_bus_id) (glassbox_gpu_up{GPUS})"),
        ),
        number(
            "Failed GPU allocations",
            "short",
            "Allocations in the time range that the driver rejected and that did not succeed later.",
            &format!(
                "{} - {}",
                in_all("glassbox_container_gpu_memory_allocation_failures_total{CONTAINERS}"),
                in_all("glassbox_container_gpu_memory_allocation_failures_recovered_total{CONTAINERS}")
            ),
        )
        .once()
        .events()
        .limits(RED_FROM_ONE),
        number(
            "Longest driver wait",
            "s",
            "Longest time without progress (no call started or ended) while calls are in flight. Red from 10 s: the driver \
             hangs.",
            "max(glassbox_container_nvidia_ioctl_waiting_seconds{CONTAINERS})",
        )
        .highest()
        .limits(&[(5.0, "yellow"), (10.0, "red")]),
        number(
            "GPU errors (Xid)",
            "short",
            "Xid errors that the driver reported in the time range.",
            &in_all("glassbox_gpu_xid_errors_total{GPUS}"),
        )
        .once()
        .events()
        .limits(RED_FROM_ONE),
        number(
            "Clock throttling",
            "percentunit",
            "Share of time with reduced clocks: the maximum over GPUs, reasons and the time range.",
            "max(rate(glassbox_gpu_throttled_seconds_total{GPUS, reason!=\"low_utilization\"}[$__rate_interval]))",
        )
        .highest()
        .limits(&[(0.1, "yellow"), (0.5, "red")]),
        number(
            "Uncorrected ECC errors",
            "short",
            "Uncorrected errors of GPU memory: the maximum in the time range.",
            "sum(increase(glassbox_gpu_ecc_errors_total{GPUS, kind=\"uncorrected\"}[$__rate_interval]))",
        )
        .highest()
        .events()
        .limits(RED_FROM_ONE),
    ]
}

fn lines() -> Vec<Panel> {
    let lines = |title, unit, description| Panel::lines(title, unit, description).size(8, 8);
    let grown =
        |by: &str, selector: &str| promql(&format!("sum {by} {}", growth(selector, "$__rate_interval")));
    vec![
        lines(
            "GPU allocation failures",
            "short",
            "Rejected allocations. Recovered: the process got as much memory later, for example because a framework emptied \
             its cache. A failure that is not recovered is usually a failed request.",
        )
        .events()
        .query(
            "{{container}} {{pod}} {{reason}}",
            &grown(
                "by (instance, namespace, pod, container, reason)",
                "glassbox_container_gpu_memory_allocation_failures_total{CONTAINERS}",
            ),
        )
        .query(
            "{{container}} {{pod}} recovered",
            &grown("EACH", "glassbox_container_gpu_memory_allocation_failures_recovered_total{CONTAINERS}"),
        )
        .query(
            "{{container}} {{pod}} host memory",
            &grown("EACH", "glassbox_container_gpu_host_memory_allocation_failures_total{CONTAINERS}"),
        ),
        lines(
            "Driver wait",
            "s",
            "Time since a call last started or ended while calls are in flight. It grows while the driver hangs.",
        )
        .query(CONTAINER, &promql("max EACH (glassbox_container_nvidia_ioctl_waiting_seconds{CONTAINERS})")),
        lines(
            "GPU errors by Xid",
            "short",
            "NVIDIA's documentation lists the Xid numbers. 79: the GPU has fallen off the bus.",
        )
        .events()
        .query(
            "{{instance}} GPU {{gpu}} Xid {{xid}}",
            &grown("by (instance, gpu, xid)", "glassbox_gpu_xid_errors_total{GPUS}"),
        ),
        Panel::states(
            "Clock throttling reasons",
            &[(1, "active", "orange")],
            "Active reasons at each scrape, without reason idle.",
        )
        .size(12, 8)
        .query(
            "{{instance}} GPU {{gpu}} {{reason}}",
            &promql(
                "max by (instance, gpu, reason) (glassbox_gpu_throttle_active{GPUS, reason!=\"idle\"}) == 1",
            ),
        ),
        lines("Time throttled", "percentunit", "Share of time with reduced clocks by reason, measured by the driver, without reason low_utilization.")
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
