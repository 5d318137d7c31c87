//! The text at the top of docs/metrics.md.

/// Everything before the tables.
pub(super) const INTRODUCTION: &str = "\
# Metrics

This file is generated from the tables in `agent/src/exposition/families/`; a test compares them. To update it:

    GLASSBOX_BLESS=1 cargo test -p glassbox --test exposition

Rules for all metrics:

- Names and labels are API.
- Unknown values are absent, never 0.
- Samples carry no timestamps, so Prometheus marks series as stale as soon as their container is gone.
- No label contains a process ID, an address or a request path.
- The final counters of an ended container are kept for five minutes (`containers.keep_ended_s`), so that counts since
  the last scrape are not lost. With any setting they are kept until they were scraped once or a minute has passed.
  `glassbox_container_running` is then 0, and gauges of resources that the container held are absent.
- Counters of a container continue when it is restarted: the counts of earlier runs are added to those of the current
  run, so that runs shorter than the scrape interval are not lost. [After a restart](#after-a-restart) lists the
  counters that continue.
- A container runs (`glassbox_container_running` is 1) if its cgroup has processes or its runtime reports it as
  running. [containers.md](containers.md) describes how the label `container` is chosen.

The label set identifies the subject of a series:

| label set | labels |
|---|---|
| agent | none |
| static | those of `[labels]` in the configuration, under their own names |
| machine | `machine_id`, `system_uuid` and `boot_id`, if known |
| gpu | `gpu` (the index of the GPU) and `uuid` |
| any gpu | as gpu; only `pci_bus_id` for a GPU that NVML does not report |
| dcgm | `gpu`, `UUID`, `pci_bus_id`, `device`, `modelName`, `Hostname`, `DCGM_FI_DRIVER_VERSION`, as in dcgm-exporter |
| container | `container`, and in Kubernetes `namespace` and `pod`; unique on a host |
| cadvisor | as container, and cAdvisor's `id` (path of the cgroup), `image` and `name` (the runtime's name) |
| labelled | as cadvisor, and `container_label_*` for each runtime label in `containers.labels` |

The families of dcgm-exporter's default set have the same names, types and units as there, so its dashboards work
unchanged. Values that a GPU does not support are absent.

`/metrics` has all families. `/metrics/cadvisor` has only the inherited ones: those with cAdvisor's name, type and
meaning, so that its dashboards and rules work unchanged. Unlike cAdvisor's, they carry `container` on Docker, too. For
glassbox's own families, a join adds the remaining metadata:

    … * on(instance, namespace, pod, container) group_left(image, name) glassbox_container_info

In the column source, v1 and v2 are the versions of cgroups.

## After a restart

| counters | restarted with the same runtime ID (Docker, Podman, containerd) | replaced by another container (Kubernetes) |
|---|---|---|
| all `glassbox_*` counters and histograms with the label `container` | continue | continue |
| `container_cpu_*`, `container_memory_failcnt`, `container_memory_failures_total` and the other memory counters, `container_pressure_*`, `container_blkio_*`, `container_fs_*`, `container_hugetlb_failcnt` | continue | start at 0 under the new `id` and `name` |
| `container_network_*` | start at 0: interfaces belong to the network namespace, which a container may share or keep | start at 0 |

Counters continue while the row of the earlier run is kept (`containers.keep_ended_s`) and the agent runs. After a
restart of the agent, counters of kernel programs start at 0, and counters of cgroup files at the values of the current
run. A container that is removed and created again has a new runtime ID, and its counters start at 0.

`rate()` and `increase()` take both for what they are: a counter that starts at 0 is a counter reset, and one that continues has
no reset. What happened while no agent ran is missing from the counters of kernel programs. There is one exception: if a container
was restarted before the agent was, the new agent does not know its earlier runs. Its counters from cgroup files then fall from the
sum of all runs to the value of the current run, which `rate()` counts as new once: one sample is too high.
`glassbox_config_last_reload_success_timestamp_seconds` and `process_start_time_seconds` show when the agent was started.
";
