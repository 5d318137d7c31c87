//! docs/metrics.md, made of the table of families.

pub mod budget;

use std::fmt::Write as _;

use prometheus::proto::MetricType;

use super::{
    Base, Family, Kind,
    document::budget::{CPU_CONTAINER, GPU_CONTAINER, series_by_noun},
    families, nouns,
    registry::Registry,
};
use crate::snapshot::{Snapshot, losses::SOURCES};

const INTRODUCTION: &str = "\
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

/// The whole file. `cpu` has one container that uses no GPU, and `gpu` one that uses one.
///
/// # Errors
/// The server's counters could not be registered, which would be a mistake in the source.
pub fn document(cpu: &Snapshot, gpu: &Snapshot) -> anyhow::Result<String> {
    let mut page = String::from(INTRODUCTION);
    budget(&mut page, cpu, gpu);
    section(&mut page, "Inherited from cAdvisor", families().filter(|family| family.is_inherited()));
    let own = || families().filter(|family| !family.is_inherited());
    let of = |bases: &'static [Base]| own().filter(|family| bases.contains(&family.base));
    section(&mut page, "Containers", of(&[Base::Container, Base::CAdvisor, Base::Labelled]));
    section(&mut page, "GPUs", of(&[Base::Gpu, Base::AnyGpu]));
    section(&mut page, "GPUs, as dcgm-exporter's", of(&[Base::Dcgm]));
    section(&mut page, "The host", of(&[Base::Machine]));
    section(&mut page, "The agent", of(&[Base::Agent]));
    sources(&mut page);
    page.push_str(
        "\n## The agent's process and HTTP server\n\nOnly at `/metrics`.\n\n\
         | name | type | meaning |\n|---|---|---|\n",
    );
    for family in Registry::new()?.gather() {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(page, "| `{}` | {kind} | {} |", family.name(), family.help());
    }
    Ok(page)
}

/// The table of series per container.
fn budget(page: &mut String, cpu: &Snapshot, gpu: &Snapshot) {
    let _ = writeln!(
        page,
        "\n## Series per container\n\n\
         A container that uses no GPU has at most {CPU_CONTAINER} series, one that uses one GPU at most {GPU_CONTAINER}; a \
         test counts. The\ncontainers of the table run on cgroup v2, with one disk, one network interface and limits, and \
         have been restarted.\nBeyond that:\n\n\
         - each further network interface has 8 series, each further disk 4, each further GPU 9, a health check 3;\n\
         - `network.tcp_states`, `network.udp_states`, `cgroup.numa`, `cgroup.hugetlb` and a cost model for block I/O add \
         series;\n\
         - `nvidia_driver.per_command_histograms` adds 14 for each combination of device and command. Without it, \
         commands\n  other than those in agent/src/exposition/nvidia_driver/commands.rs share the label value \
         `command=\"other\"`.\n\n\
         | collector | without a GPU | with one GPU |\n|---|---:|---:|"
    );
    let rows = series_by_noun(cpu, nouns()).into_iter().zip(series_by_noun(gpu, nouns()));
    let mut totals = (0, 0);
    for ((noun, cpu), (_, gpu)) in rows.filter(|((_, cpu), (_, gpu))| cpu + gpu > 0) {
        totals = (totals.0 + cpu, totals.1 + gpu);
        let _ = writeln!(page, "| {noun} | {cpu} | {gpu} |");
    }
    let _ = writeln!(page, "| all | {} | {} |", totals.0, totals.1);
}

/// What each source of `glassbox_lost_events_total` means.
fn sources(page: &mut String) {
    page.push_str(
        "\n### Sources of losses\n\n\
         Sources of `glassbox_lost_events_total`, and, if the severity is imprecision, of \
         `glassbox_imprecise_events_total`. On a quiet host all losses stay 0. The agent also logs a source that grows, \
         at most once in ten minutes.\n\n\
         | source | severity | meaning | remedy |\n|---|---|---|---|\n",
    );
    for source in SOURCES {
        let (severity, name) = (source.severity.as_str(), source.name);
        let _ = writeln!(page, "| `{name}` | {severity} | {} | {} |", source.meaning, source.remedy);
    }
}

fn section<'a>(page: &mut String, title: &str, families: impl Iterator<Item = &'a Family>) {
    let _ = writeln!(page, "\n## {title}\n");
    page.push_str(
        "| name | type | unit | base | further labels | meaning | source |\n|---|---|---|---|---|---|---|\n",
    );
    for family in families {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            family.name,
            match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            },
            unit(family),
            match family.base {
                Base::Agent => "agent",
                Base::Machine => "machine",
                Base::Gpu => "gpu",
                Base::AnyGpu => "any gpu",
                Base::Dcgm => "dcgm",
                Base::Container => "container",
                Base::CAdvisor => "cadvisor",
                Base::Labelled => "labelled",
            },
            labels.join(", "),
            family.help,
            family.source,
        );
    }
}

/// The unit: the last word of the name, else, as cAdvisor leaves it out at times, what the help says.
fn unit(family: &Family) -> &'static str {
    let name = family.name.strip_suffix("_total").unwrap_or(family.name);
    let units = ["seconds", "bytes", "ratio", "watts", "joules", "celsius", "hertz"];
    let named = units.into_iter().find(|unit| name.ends_with(unit));
    let named = named.or_else(|| units.into_iter().find(|unit| family.help.contains(&format!("in {unit}"))));
    named.unwrap_or("")
}
