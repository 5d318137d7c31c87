//! docs/metrics.md, generated from the tables of families.

pub mod budget;
mod introduction;

use std::fmt::Write as _;

use prometheus::proto::MetricType;

use budget::{CPU_CONTAINER, GPU_CONTAINER, PROGRAM, SERVING, THREE_GRADIO_FUNCTIONS, series_by_subject};
use introduction::INTRODUCTION;

use super::{
    families::{families, subjects},
    family::{Family, Kind, LabelSet},
    registry::Registry,
};
use crate::snapshot::{Snapshot, losses::SOURCES};

/// The whole file. `cpu` has one container without a GPU, and `gpu` one container with a GPU; their series are counted.
///
/// # Errors
/// Fails if the counters of the server cannot be registered, which is a bug.
pub fn document(cpu: &Snapshot, gpu: &Snapshot) -> anyhow::Result<String> {
    let mut page = String::from(INTRODUCTION);
    budget(&mut page, cpu, gpu);
    section(&mut page, "Inherited from cAdvisor", families().filter(|family| family.is_inherited()));
    let own = || families().filter(|family| !family.is_inherited());
    let of = |sets: &'static [LabelSet]| own().filter(|family| sets.contains(&family.label_set));
    section(&mut page, "Containers", of(&[LabelSet::Container, LabelSet::CAdvisor, LabelSet::Labelled]));
    section(&mut page, "GPUs", of(&[LabelSet::Gpu, LabelSet::AnyGpu]));
    section(&mut page, "GPUs, as dcgm-exporter's", of(&[LabelSet::Dcgm]));
    section(&mut page, "The host", of(&[LabelSet::Machine, LabelSet::Static]));
    section(&mut page, "The agent", of(&[LabelSet::Agent]));
    sources(&mut page);
    page.push_str(
        "\n## The agent's process and HTTP server\n\nOnly at `/metrics`.\n\n\
         | name | type | meaning |\n|---|---|---|\n",
    );
    for family in Registry::new()?.gather_all() {
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
         A container without a GPU has at most {CPU_CONTAINER} series, a container with one GPU at most {GPU_CONTAINER}; a \
         test counts\nthem. The containers of the table run on cgroup v2, with one disk, one network interface and \
         limits, and were\nrestarted. In addition:\n\n\
         - each further network interface has 8 series, each further disk 4, each further GPU 9, a health check 3;\n\
         - a container that serves requests and streams has up to {SERVING} more (with three combinations of method, status and \
         route), a Gradio server with three long functions \
         {THREE_GRADIO_FUNCTIONS} more;\n\
         - each program of `programs.names` that a container has run has up to {PROGRAM} series;\n\
         - `network.tcp_states`, `network.udp_states`, `cgroup.numa`, `cgroup.hugetlb` and an I/O cost model add series;\n\
         - `nvidia_driver.per_command_histograms` adds 14 series for each combination of device and command. Without \
         it,\n  commands that are not listed in agent/src/exposition/families/nvidia_driver/ioctls.rs share the label \
         value\n  `command=\"other\"`.\n\n\
         | collector | without a GPU | with one GPU |\n|---|---:|---:|"
    );
    let rows = series_by_subject(cpu, subjects()).into_iter().zip(series_by_subject(gpu, subjects()));
    let mut totals = (0, 0);
    for ((subject, cpu), (_, gpu)) in rows.filter(|((_, cpu), (_, gpu))| cpu + gpu > 0) {
        totals = (totals.0 + cpu, totals.1 + gpu);
        let _ = writeln!(page, "| {subject} | {cpu} | {gpu} |");
    }
    let _ = writeln!(page, "| all | {} | {} |", totals.0, totals.1);
}

/// The meaning of each source of `glassbox_lost_events_total`.
fn sources(page: &mut String) {
    page.push_str(
        "\n### Sources of losses\n\n\
         The sources of `glassbox_lost_events_total` and, with severity imprecision, of \
         `glassbox_imprecise_events_total`. On a quiet host all losses stay 0. The agent also logs each source that \
         grows, at most once in ten minutes.\n\n\
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
        "| name | type | unit | label set | further labels | meaning | source |\n|---|---|---|---|---|---|---|\n",
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
            family.unit(),
            match family.label_set {
                LabelSet::Agent => "agent",
                LabelSet::Static => "static",
                LabelSet::Machine => "machine",
                LabelSet::Gpu => "gpu",
                LabelSet::AnyGpu => "any gpu",
                LabelSet::Dcgm => "dcgm",
                LabelSet::Container => "container",
                LabelSet::CAdvisor => "cadvisor",
                LabelSet::Labelled => "labelled",
            },
            labels.join(", "),
            family.help,
            family.source,
        );
    }
}
