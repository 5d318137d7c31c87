//! Finds a process of a container, to read the container's namespaces and mounts.
//!
//! Callers that need any process of a container use [`any_of`]. It skips containers that are nested in this one (Docker
//! in Docker, a Kubernetes node in a container), because their processes have other networks and other roots.
//!
//! Process IDs come from `cgroup.procs`, where the kernel gives them in the reader's PID namespace. They are only valid
//! in a procfs of the same namespace, which [`same_namespace`] checks.

pub mod io_counts;
pub mod stat;

use std::{
    fs::{self, File},
    io::{self, Read},
    iter,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;

use crate::{
    containers::cgroup::{ByPath, Layout, container_of, nested_directories},
    kernel::{
        host,
        privileges::{Privileges, SYS_PTRACE},
    },
};

/// Maximum number of bytes read of a process list; enough for some thousand processes.
const LIST_BYTES: u64 = 64 * 1024;
/// Maximum number of nested cgroups that are searched for a process.
const NESTED_MAX: usize = 64;
/// What to do if the agent is in a PID namespace of its own.
const REMEDY_PID_NAMESPACE: &str = "set hostPID: true (Kubernetes) or --pid=host (Docker)";

/// The ID of any process in the container, as text. `None` if the container has no process.
///
/// # Errors
/// If the container has processes, but all of them are hidden from the agent's PID namespace.
pub fn any_of(layout: &Layout, cgroup_path: &str) -> anyhow::Result<Option<String>> {
    let mut hidden = false;
    for directory in directories(layout, cgroup_path) {
        let Ok(list) = processes(&directory) else { continue };
        if let Some(process) = list.lines().find(|line| is_number(line)) {
            return Ok(Some(process.to_owned()));
        }
        hidden |= list.lines().any(is_hidden);
    }
    anyhow::ensure!(
        !hidden,
        "find a process of cgroup {cgroup_path}: the agent's PID namespace hides them all; {REMEDY_PID_NAMESPACE}"
    );
    Ok(None)
}

/// The IDs of the processes in the container, as text: at most `max`.
pub fn all_of(layout: &Layout, cgroup_path: &str, max: usize) -> Vec<String> {
    let mut trees = trees(layout, cgroup_path).map(|tree| listed(tree, max));
    let mut found = trees.next().unwrap_or_default();
    // On a hybrid host, older versions of runc put the processes of `exec` into v1's trees only. Each of those has all of them,
    // so the first with any is enough.
    found.extend(trees.find(|found| !found.is_empty()).unwrap_or_default());
    // A process that moves to another cgroup may be in both.
    found.sort_unstable();
    found.dedup();
    found.truncate(max);
    found
}

/// The IDs in the process lists of these cgroups: at most `max`.
fn listed(directories: impl Iterator<Item = PathBuf>, max: usize) -> Vec<String> {
    let mut found = Vec::new();
    for directory in directories {
        let Ok(list) = processes(&directory) else { continue };
        found.extend(list.lines().filter(|line| is_number(line)).take(max - found.len()).map(str::to_owned));
        if found.len() == max {
            break;
        }
    }
    found
}

/// True if the process is still in the container.
pub fn is_member(layout: &Layout, cgroup_path: &str, process: &str) -> bool {
    directories(layout, cgroup_path)
        .any(|directory| processes(&directory).is_ok_and(|list| list.lines().any(|line| line == process)))
}

/// The inode number of a process's network namespace.
pub fn network_namespace(proc_root: &Path, process: &str) -> io::Result<u64> {
    fs::metadata(proc_root.join(process).join("ns/net")).map(|metadata| metadata.ino())
}

/// The inode number of the host's network namespace. Process 1 may refuse to be inspected even with CAP_SYS_PTRACE; kernel
/// threads are always in the first namespace. If neither is visible, the agent's own namespace is used.
pub fn host_network_namespace(proc_root: &Path) -> anyhow::Result<u64> {
    // Kernel threads are the children of process 2, but only in the first PID namespace.
    let is_kernel = || fs::read_to_string(proc_root.join("2/comm")).is_ok_and(|name| name == "kthreadd\n");
    let of_kernel =
        |error| if is_kernel() { network_namespace(proc_root, "2") } else { io::Result::Err(error) };
    network_namespace(proc_root, "1")
        .or_else(of_kernel)
        .or_else(|_| network_namespace(proc_root, "self"))
        .context("find the host's network namespace")
}

/// Checks that the process IDs which the agent sees are those of the procfs at `proc_root`.
///
/// # Errors
/// If that procfs belongs to another PID namespace; the text contains the remedy.
pub fn same_namespace(proc_root: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        host::shares_process_ids(proc_root),
        "look up containers' processes: {} belongs to another PID namespace than the agent, so process IDs refer to \
         different processes there; {REMEDY_PID_NAMESPACE}",
        proc_root.display()
    );
    Ok(())
}

/// Why the agent cannot inspect the processes of all or of most containers. `None` if it can.
pub fn limitation(layout: &Layout, proc_root: &Path) -> Option<String> {
    if let Err(error) = same_namespace(proc_root) {
        return Some(format!("{error:#}"));
    }
    if let Some(lack) = Privileges::of_this_process(proc_root).lack(&[&SYS_PTRACE]) {
        return Some(format!("network namespaces and mounts of other processes cannot be read: {lack}"));
    }
    // Kernel threads are always in the root cgroup; only the first PID namespace shows them.
    let list = processes(&layout.primary("/")).unwrap_or_default();
    list.lines().any(is_hidden).then(|| {
        format!("the agent's PID namespace hides processes of other namespaces; {REMEDY_PID_NAMESPACE}")
    })
}

/// `cgroup.procs` has 0 for a process that is not visible in the reader's PID namespace.
fn is_hidden(line: &str) -> bool {
    line == "0"
}

fn is_number(line: &str) -> bool {
    !is_hidden(line) && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
}

/// The directories of the container in all trees.
fn directories(layout: &Layout, cgroup_path: &str) -> impl Iterator<Item = PathBuf> {
    trees(layout, cgroup_path).flatten()
}

/// For each tree, the container's cgroup and the cgroups nested in it, where some runtimes put the processes, without those
/// of nested containers. The tree that is walked comes first, then v1's trees, for containers that are only in those.
fn trees(layout: &Layout, cgroup_path: &str) -> impl Iterator<Item = impl Iterator<Item = PathBuf>> {
    let reported = layout.reported().get();
    let of_v1 = ["cpu", "memory"].into_iter().filter_map(|name| layout.directory(name, cgroup_path));
    let mut roots: Vec<_> = iter::once(layout.primary(cgroup_path)).chain(of_v1).collect();
    // On v2, all of them are the same.
    roots.dedup();
    let path = cgroup_path.to_owned();
    roots.into_iter().map(move |root| tree(Arc::clone(&reported), root, &path))
}

/// The same in one tree, in which the container's cgroup is at `root`.
fn tree(reported: Arc<ByPath>, root: PathBuf, cgroup_path: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let id_at = move |path: &str| {
        let id = container_of(path).map(|container| container.id.to_owned());
        id.or_else(|| reported.get(path).map(|reported| reported.id.clone()))
    };
    let own = id_at(cgroup_path);
    let mut pending = vec![(root, cgroup_path.trim_end_matches('/').to_owned())];
    let mut left = NESTED_MAX;
    iter::from_fn(move || {
        let (directory, path) = pending.pop()?;
        for entry in nested_directories(&directory) {
            if left == 0 {
                break;
            }
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            // A cgroup that repeats the container's own ID is a part of the container.
            if id_at(&path).is_none_or(|id| Some(id) == own) {
                left -= 1;
                pending.push((entry.path(), path));
            }
        }
        Some(directory)
    })
}

/// The process list of one cgroup, up to a limit. Fails for a threaded cgroup.
fn processes(directory: &Path) -> io::Result<String> {
    String::from_utf8(text(&directory.join("cgroup.procs"), LIST_BYTES)?).map_err(io::Error::other)
}

/// Up to this number of bytes of a file of the kernel.
///
/// # Errors
/// If it cannot be read.
pub fn text(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(most_bytes).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTER: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";
    const INNER: &str = "1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e";

    fn tree(cgroups: &[(&str, &str)]) -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu memory\n").unwrap();
        for (path, processes) in cgroups {
            let directory = root.path().join(path);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("cgroup.procs"), processes).unwrap();
        }
        let layout = Layout::detect(root.path()).unwrap();
        (root, layout)
    }

    #[test]
    fn processes_of_a_nested_container_are_not_those_of_the_outer_one() {
        let pods = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice";
        for (init, inner) in [("init.scope", pods), ("zz.scope", "aa.slice"), ("aa.scope", "zz.slice")] {
            let outer = format!("/docker/{OUTER}");
            let inner = format!("{outer}/{inner}/cri-containerd-{INNER}.scope");
            let (_root, layout) = tree(&[
                (&format!("docker/{OUTER}/{init}"), "10\n"),
                (&inner[1..], "20\n"),
                (&format!("{}/worker", &inner[1..]), "21\n"),
            ]);
            assert_eq!(any_of(&layout, &outer).unwrap().as_deref(), Some("10"), "{init}");
            assert_eq!(all_of(&layout, &outer, 8), ["10"]);
            assert_eq!(all_of(&layout, &inner, 8), ["20", "21"]);
            assert_eq!(all_of(&layout, &inner, 1), ["20"]);
            assert!(is_member(&layout, &outer, "10") && !is_member(&layout, &outer, "20"));
            assert_eq!(any_of(&layout, &inner).unwrap().as_deref(), Some("20"));
            assert!(is_member(&layout, &inner, "21"));
        }
    }

    #[test]
    fn on_a_hybrid_host_the_processes_of_the_v2_tree_and_of_one_v1_tree_are_found() {
        let path = format!("/docker/{OUTER}");
        let root = tempfile::tempdir().unwrap();
        let write = |tree: &str, processes: &str| {
            let directory = root.path().join(tree).join(&path[1..]);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("cgroup.procs"), processes).unwrap();
        };
        fs::create_dir_all(root.path().join("unified")).unwrap();
        fs::write(root.path().join("unified/cgroup.controllers"), "").unwrap();
        for tree in ["cpu", "memory"] {
            fs::create_dir_all(root.path().join(tree)).unwrap();
            fs::write(root.path().join(tree).join("cgroup.procs"), "").unwrap();
        }
        // A process of `docker exec` may be in v1's trees only.
        for (tree, processes) in [("unified", "10\n"), ("cpu", "10\n20\n"), ("memory", "10\n20\n")] {
            write(tree, processes);
        }
        let layout = Layout::detect(root.path()).unwrap();
        assert_eq!(all_of(&layout, &path, 8), ["10", "20"]);
        assert_eq!(all_of(&layout, &path, 1), ["10"]);
        write("cpu", "");
        assert_eq!(all_of(&layout, &path, 8), ["10", "20"], "of memory");
        write("unified", "");
        assert_eq!(all_of(&layout, &path, 8), ["10", "20"]);
    }

    #[test]
    fn an_outer_container_with_only_processes_of_a_nested_container_has_none() {
        let outer = format!("/docker/{OUTER}");
        let (_root, layout) = tree(&[(&format!("docker/{OUTER}/docker/{INNER}"), "20\n")]);
        assert_eq!(any_of(&layout, &outer).unwrap(), None);
        // The path alone does not make this cgroup a container; a runtime has reported it.
        let (_root, layout) = tree(&[(&format!("docker/{OUTER}/default/web"), "20\n")]);
        let web = crate::containers::cgroup::ReportedCgroup {
            id: "web".into(),
            runtime: crate::snapshot::identity::Runtime::Containerd,
        };
        layout.reported().set([(format!("{outer}/default/web"), web)].into());
        assert_eq!(any_of(&layout, &outer).unwrap(), None);
        assert_eq!(any_of(&layout, &format!("{outer}/default/web")).unwrap().as_deref(), Some("20"));
    }

    #[test]
    fn a_nested_cgroup_with_the_containers_own_id_is_a_part_of_the_container() {
        let outer = format!("/docker/{OUTER}");
        let (_root, layout) = tree(&[(&format!("docker/{OUTER}/docker/{OUTER}"), "20\n")]);
        assert_eq!(any_of(&layout, &outer).unwrap().as_deref(), Some("20"));
    }

    #[test]
    fn hidden_processes_are_an_error_with_the_remedy() {
        let outer = format!("/docker/{OUTER}");
        let (_root, layout) = tree(&[(&format!("docker/{OUTER}"), "0\n0\n")]);
        let error = any_of(&layout, &outer).unwrap_err().to_string();
        assert!(error.contains("PID namespace") && error.contains("--pid=host"), "{error}");
        let (_root, layout) = tree(&[(&format!("docker/{OUTER}"), "0\n7\n")]);
        assert_eq!(any_of(&layout, &outer).unwrap().as_deref(), Some("7"));
    }

    #[test]
    fn the_hosts_network_is_that_of_process_1_or_else_of_kernel_threads() {
        let proc = tempfile::tempdir().unwrap();
        let file = |pid: &str| {
            let directory = proc.path().join(pid).join("ns");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("net"), "").unwrap();
            fs::metadata(directory.join("net")).unwrap().ino()
        };
        let (own, second) = (file("self"), file("2"));
        let host = || host_network_namespace(proc.path()).unwrap();
        for (name, wanted) in [("kthreadd\n", second), ("bash\n", own)] {
            fs::write(proc.path().join("2/comm"), name).unwrap();
            assert_eq!(host(), wanted, "{name}");
        }
        let first = file("1");
        assert_eq!(host(), first);
    }

    #[test]
    fn a_procfs_of_another_namespace_is_refused() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("self")).unwrap();
        for (ids, same) in [("4242\t7", false), ("7", true)] {
            fs::write(proc.path().join("self/status"), format!("Name:\tx\nNSpid:\t{ids}\n")).unwrap();
            assert_eq!(same_namespace(proc.path()).is_ok(), same, "{ids}");
        }
    }
}
