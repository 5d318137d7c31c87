//! Disk usage of the writable layers of containers.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, disk::DiskUsage},
};

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_fs_usage_bytes")
        .help(
            "Disk space used by files that the container wrote, without its image and volumes, in bytes. Up \
             to disk.period_s old. Absent if neither the filesystem nor the runtime reports it, unless \
             disk.walk is on.",
        )
        .source(
            "statfs of the writable layer, if it has a project quota; otherwise CRI ListContainerStats; \
             otherwise a directory walk",
        )
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |disk, emit| emit.count(disk.used_bytes))),
    Family::gauge("container_fs_limit_bytes")
        .help(
            "Maximum disk space for files written by the container, in bytes. Only if the container has its \
             own limit, for example from docker run --storage-opt size=.",
        )
        .source("statfs of the writable layer, if it has a project quota")
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |disk, emit| emit.count(disk.limit_bytes))),
    Family::gauge("glassbox_container_disk_source_info")
        .help(
            "Always 1. Label source: origin of the disk usage of the container, which is project_quota \
             (filesystem), runtime (CRI) or walk.",
        )
        .source("disk collector")
        .labels(&["source"])
        .container(|row, emit| {
            if let Some(disk) = row.disk.as_deref() {
                emit.with(&[disk.source.as_str()]).count(1);
            }
        }),
    Family::gauge("glassbox_disk_reading_age_seconds")
        .help(
            "Age of the last reading of all writable layers, in seconds. Grows while a filesystem hangs; \
             after three periods its values are absent.",
        )
        .source("disk thread")
        .agent(|snapshot, emit| emit.time(snapshot.host.disk.as_ref().and_then(|disk| disk.age))),
    Family::gauge("glassbox_disk_reading_duration_seconds")
        .help("Duration of the last reading of all writable layers, without directory walks, in seconds.")
        .source("disk thread")
        .agent(|snapshot, emit| {
            emit.time(snapshot.host.disk.as_ref().and_then(|disk| disk.duration));
        }),
];

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&DiskUsage, &mut Emit<'_>)) {
    if let Some(disk) = row.disk.as_deref() {
        read(disk, &mut emit.with(&[&disk.device]));
    }
}
