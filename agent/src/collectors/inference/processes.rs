//! The largest processes of a container, which are those with models.

use std::{fs::File, io::Read as _, path::Path};

use crate::containers::{
    cgroup::Layout,
    process::{self, io_counts::Io},
};

/// Maximum number of processes of one container whose size is read.
const PROCESSES_MAX: usize = 64;
/// Maximum number of processes of one container that are looked at.
pub(super) const LARGEST_MAX: usize = 8;
/// More than `statm` has.
const SIZE_BYTES: usize = 128;
/// More than `io` has.
const IO_BYTES: usize = 512;

/// The IDs of up to [`LARGEST_MAX`] processes, as text, those with the most resident memory first.
pub(super) fn largest(layout: &Layout, proc_root: &Path, cgroup_path: &str) -> Vec<String> {
    let all = process::all_of(layout, cgroup_path, PROCESSES_MAX);
    let mut sized: Vec<_> = all.into_iter().map(|id| (resident_pages(proc_root, &id), id)).collect();
    sized.sort_by(|(one, _), (other, _)| other.cmp(one));
    sized.into_iter().take(LARGEST_MAX).map(|(_, id)| id).collect()
}

/// What a process has read so far; `None` if it has ended.
pub(super) fn io(proc_root: &Path, process: u32) -> Option<Io> {
    Io::of(&text::<IO_BYTES>(&proc_root.join(process.to_string()).join("io"))?)
}

/// The second number of `/proc/PID/statm`; 0 if the process has ended.
fn resident_pages(proc_root: &Path, process: &str) -> u64 {
    let text = text::<SIZE_BYTES>(&proc_root.join(process).join("statm"));
    let text = text.and_then(|text| String::from_utf8(text).ok());
    text.and_then(|text| text.split_ascii_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Up to this number of bytes of a file.
fn text<const BYTES: usize>(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(BYTES);
    File::open(path).ok()?.take(BYTES as u64).read_to_end(&mut text).ok()?;
    Some(text)
}
