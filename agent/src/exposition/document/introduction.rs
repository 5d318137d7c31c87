//! The text at the top of docs/metrics.md.

/// See the module.
pub(super) const INTRODUCTION: &str = "\
# Metrics

This file is generated from the tables in `agent/src/exposition/`; a test compares them. To bring it up to
date:

    GLASSBOX_BLESS=1 cargo test -p glassbox --test exposition

What holds for all:

- Names and labels are API.
- Unknown is absent, never 0. Series without a value are not written.
- No sample carries a timestamp, so Prometheus notices at once when a container is gone.
- No label holds a process id, an address, or a path of a request.
- The final counters of a container that ended are kept for five minutes (`containers.keep_ended_s`), so that
  what it did since the last scrape is not lost, and in any case until they were scraped once or for a minute.
  `glassbox_container_running` is then 0, and its other gauges are gone: it holds nothing any more.
- Counters of a container continue when it is restarted: what earlier runs have counted is added to what the current
  run counts, so that runs shorter than the scrape interval are not lost. [After a restart](#after-a-restart) lists
  what continues.
- A container runs (`glassbox_container_running` 1) if its cgroup has processes or its runtime reports that it runs.
  How the label `container` is chosen is in [containers.md](containers.md).

Whom a series is about:

| base | labels |
|---|---|
| agent | none |
| machine | `machine_id`, `system_uuid` and `boot_id`, where they are known |
| gpu | `gpu` (its index) and `uuid` |
| any gpu | these, or of a GPU that NVML does not know `pci_bus_id` |
| dcgm | `gpu`, `UUID`, `pci_bus_id`, `device`, `modelName`, `Hostname`, `DCGM_FI_DRIVER_VERSION`: dcgm-exporter's |
| container | `container`, and in Kubernetes `namespace`, `pod`; unique on a host |
| cadvisor | these, and cAdvisor's `id` (path of the cgroup), `image`, `name` (the runtime's name) |
| labelled | these, and `container_label_*` for each runtime label in `containers.labels` |

Families of dcgm-exporter's default set have its names, types and units, so that dashboards made for it work; what a
GPU does not support is absent.

`/metrics` has all families, `/metrics/cadvisor` the inherited ones: those that have cAdvisor's name, type and
meaning, so that dashboards and rules made for it work unchanged. Unlike cAdvisor's they also carry
`container` on Docker. Our own have the rest of the identity by a join:

    … * on(instance, namespace, pod, container) group_left(image, name) glassbox_container_info

In the column source, v1 and v2 are the versions of cgroups.

## After a restart

| counters | restarted with the same runtime id (Docker, Podman, containerd) | another container in its place (Kubernetes) |
|---|---|---|
| all `glassbox_*` counters and histograms with the label `container` | continue | continue |
| `container_cpu_*`, `container_memory_failcnt`, `container_memory_failures_total` and the other memory counters, `container_pressure_*`, `container_blkio_*`, `container_fs_*`, `container_hugetlb_failcnt` | continue | start at 0 under the new `id` and `name` |
| `container_network_*` | start at 0: interfaces belong to the network namespace, which a container may share or keep | start at 0 |

They continue as long as the row of the earlier run is kept (`containers.keep_ended_s`), and until the agent ends: after
a restart of the agent, counters of kernel programs start at 0, and those of cgroup files at what the current run has used.
A container that is removed and made anew has another runtime id, and starts at 0.
";
