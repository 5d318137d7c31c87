//! The largest processes of a container, which are those with models.

use std::path::Path;

use crate::containers::{
    cgroup::Layout,
    process::{self, io_counts::Io},
};

/// Maximum number of processes of one container whose size is read.
const PROCESSES_MAX: usize = 64;
/// Maximum number of processes of one container that are looked at.
pub(super) const LARGEST_MAX: usize = 8;
/// More than `statm` has.
const SIZE_BYTES: u64 = 128;
/// More than `io` has.
const IO_BYTES: u64 = 512;

/// The IDs of up to [`LARGEST_MAX`] processes, as text, those with the most resident memory first.
pub(super) fn largest(layout: &Layout, proc_root: &Path, cgroup_path: &str) -> Vec<String> {
    let all = process::all_of(layout, cgroup_path, PROCESSES_MAX);
    let mut sized: Vec<_> = all.into_iter().map(|id| (resident_pages(proc_root, &id), id)).collect();
    sized.sort_by(|(one, _), (other, _)| other.cmp(one));
    sized.into_iter().take(LARGEST_MAX).map(|(_, id)| id).collect()
}

/// What a process has read so far; `None` if it has ended.
pub(super) fn io(proc_root: &Path, id: u32) -> Option<Io> {
    Io::of(&process::text(&proc_root.join(id.to_string()).join("io"), IO_BYTES).ok()?)
}

/// The second number of `/proc/PID/statm`; 0 if the process has ended.
fn resident_pages(proc_root: &Path, id: &str) -> u64 {
    let text = process::text(&proc_root.join(id).join("statm"), SIZE_BYTES).ok();
    let text = text.and_then(|text| String::from_utf8(text).ok());
    text.and_then(|text| text.split_ascii_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}
