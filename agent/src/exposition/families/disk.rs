//! Writable layers of containers: how large they are, and how that is known.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{ContainerRow, disk::DiskUsage},
};

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("container_fs_usage_bytes")
        .help(
            "Disk space that the files written by the container take, its image and its volumes left \
               out, in bytes. Up to disk.period_s old. Absent where neither the filesystem nor the \
               runtime tells, unless disk.walk is on.",
        )
        .source(
            "statfs of the writable layer, which has a project quota; else CRI ListContainerStats; \
                 else a walk",
        )
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |disk, emit| emit.count(disk.used_bytes))),
    Family::gauge("container_fs_limit_bytes")
        .help(
            "The most disk space that the files written by the container may take, in bytes. Only where \
               it has a limit of its own, as by docker run --storage-opt size=.",
        )
        .source("statfs of the writable layer, which has a project quota")
        .labels(&["device"])
        .cadvisor(|row, emit| each(row, emit, |disk, emit| emit.count(disk.limit_bytes))),
    Family::gauge("glassbox_container_disk_source_info")
        .help(
            "Always 1; who told of the container's writable layer: project_quota (the filesystem), \
               runtime (CRI) or walk.",
        )
        .source("the disk collector")
        .labels(&["source"])
        .container(|row, emit| {
            if let Some(disk) = row.disk.as_deref() {
                emit.with(&[disk.source.as_str()]).count(1);
            }
        }),
    Family::gauge("glassbox_disk_reading_age_seconds")
        .help(
            "Age of the last round over all writable layers, in seconds. Grows where a filesystem \
               hangs; after three periods what it told is absent.",
        )
        .source("the disk thread")
        .agent(|snapshot, emit| emit.time(snapshot.host.disk.as_ref().and_then(|disk| disk.age))),
    Family::gauge("glassbox_disk_reading_duration_seconds")
        .help("How long the last round over all writable layers took, walks left out, in seconds.")
        .source("the disk thread")
        .agent(|snapshot, emit| {
            emit.time(snapshot.host.disk.as_ref().and_then(|disk| disk.duration));
        }),
];

fn each(row: &ContainerRow, emit: &mut Emit<'_>, read: fn(&DiskUsage, &mut Emit<'_>)) {
    if let Some(disk) = row.disk.as_deref() {
        read(disk, &mut emit.with(&[&disk.device]));
    }
}
