//! A process of a container, and its network namespace.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::containers::cgroup::Layout;

/// Most of a list of processes that is read; enough for some thousand.
const LIST_BYTES: u64 = 64 * 1024;
/// Most nested cgroups that are searched for a process.
const NESTED_MAX: usize = 64;

/// The process number of any process in the container, as text. `None` where there is none.
pub(in crate::collectors) fn any_of(layout: &Layout, cgroup_path: &str) -> Option<String> {
    directories(layout, cgroup_path).find_map(|directory| {
        let list = processes(&directory).ok()?;
        list.lines().find(|line| is_number(line)).map(str::to_owned)
    })
}

/// True where the process is still in the container.
pub(in crate::collectors) fn is_member(layout: &Layout, cgroup_path: &str, process: &str) -> bool {
    directories(layout, cgroup_path)
        .any(|directory| processes(&directory).is_ok_and(|list| list.lines().any(|line| line == process)))
}

/// The inode number of a process's network namespace.
pub(in crate::collectors) fn network_namespace(proc_root: &Path, process: &str) -> io::Result<u64> {
    fs::metadata(proc_root.join(process).join("ns/net")).map(|metadata| metadata.ino())
}

/// That of the host. Without a process 1 to be seen, the agent's own network is taken for it.
pub(in crate::collectors) fn host_network_namespace(proc_root: &Path) -> anyhow::Result<u64> {
    network_namespace(proc_root, "1")
        .or_else(|_| network_namespace(proc_root, "self"))
        .context("find the host's network namespace")
}

/// 0 stands for a process that this process namespace does not show.
fn is_number(line: &str) -> bool {
    line != "0" && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
}

/// The container's cgroup and those nested in it, where some runtimes put the processes, in the tree that is
/// walked; then, for containers that are not in it, in v1's.
fn directories(layout: &Layout, cgroup_path: &str) -> impl Iterator<Item = PathBuf> {
    let mut roots = vec![layout.primary(cgroup_path)];
    roots.extend(["cpu", "memory"].into_iter().filter_map(|name| layout.directory(name, cgroup_path)));
    let mut pending: Vec<PathBuf> = roots.into_iter().rev().collect();
    let mut left = NESTED_MAX;
    std::iter::from_fn(move || {
        let directory = pending.pop()?;
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if left > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left -= 1;
                pending.push(entry.path());
            }
        }
        Some(directory)
    })
}

/// The list of processes of one cgroup, up to a limit. A cgroup of threads refuses to give one.
fn processes(directory: &Path) -> io::Result<String> {
    let mut list = Vec::new();
    File::open(directory.join("cgroup.procs"))?.take(LIST_BYTES).read_to_end(&mut list)?;
    String::from_utf8(list).map_err(io::Error::other)
}
