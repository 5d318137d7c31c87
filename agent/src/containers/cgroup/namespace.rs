//! Paths in `/proc/PID/cgroup` are relative to the cgroup namespace of the reader. On hosts with cgroup v2, a Kubernetes
//! runtime gives each container that is not privileged a namespace of its own, with the container's cgroup as the root, so an
//! agent in such a container reads `/../../pod2/ID` for another container. This makes such paths absolute again.
//!
//! No file has the path of the root. It is found by looking for the agent's own process in the cgroups of all containers,
//! which costs one small file per container, once.

use std::{borrow::Cow, fmt::Write as _, fs, path::Path};

use super::{Layout, walk};
use crate::kernel::host;

/// The cgroup namespace of this process.
#[derive(Clone, Debug, Default)]
pub struct CgroupNamespace {
    /// The path of its root in the host's tree. `None` for the host's own namespace, or if it was not found.
    root: Option<String>,
}

impl CgroupNamespace {
    /// Finds the namespace of this process.
    #[must_use]
    pub fn of_this_process(proc_root: &Path, layout: &Layout) -> Self {
        if host::is_in_first_namespace(proc_root, "cgroup") {
            return Self::default();
        }
        Self { root: root(proc_root, layout, &std::process::id().to_string()) }
    }

    /// The path of its root in the host's tree, if it is not the host's namespace and was found.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// The text of a `/proc/PID/cgroup` with paths of the host's tree. Runtimes give a container the same path in every
    /// tree, so one root is enough.
    #[must_use]
    pub fn absolute<'a>(&self, cgroups: &'a str) -> Cow<'a, str> {
        let Some(root) = &self.root else { return Cow::Borrowed(cgroups) };
        let mut text = String::with_capacity(cgroups.len() + root.len());
        for line in cgroups.lines() {
            let mut fields = line.splitn(3, ':');
            if let (Some(number), Some(controllers), Some(path)) =
                (fields.next(), fields.next(), fields.next())
            {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{number}:{controllers}:{}", resolve(root, path));
            }
        }
        Cow::Owned(text)
    }
}

/// The root of the namespace: the cgroup of this process without the part below the root, which procfs shows.
fn root(proc_root: &Path, layout: &Layout, process: &str) -> Option<String> {
    let own = fs::read_to_string(proc_root.join("self/cgroup")).ok()?;
    let below = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").trim_end_matches('/');
    let found = walk(layout).ok()?.found;
    let has_process = |path: &str| {
        let list = fs::read_to_string(layout.primary(path).join("cgroup.procs"));
        list.is_ok_and(|list| list.lines().any(|line| line == process))
    };
    let cgroup = found.into_iter().find(|found| has_process(&found.path))?;
    cgroup.path.strip_suffix(below).map(str::to_owned)
}

/// Applies a path that is relative to `root` and may begin with `/..`.
fn resolve(root: &str, relative: &str) -> String {
    let mut components: Vec<&str> = root.split('/').filter(|name| !name.is_empty()).collect();
    for name in relative.split('/').filter(|name| !name.is_empty()) {
        if name == ".." {
            components.pop();
        } else {
            components.push(name);
        }
    }
    format!("/{}", components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";
    const OTHER: &str = "1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988";

    /// A host with cgroup v2 and this process in the cgroup of a pod, and what procfs shows for this process.
    fn host(nested: &str) -> (tempfile::TempDir, Layout) {
        let host = tempfile::tempdir().unwrap();
        let cgroups = host.path().join("cgroup");
        let write = |path: &str, text: &str| {
            let file = host.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("cgroup/cgroup.controllers", "cpu\n");
        write(&format!("cgroup/kubepods/pod2/{OTHER}/cgroup.procs"), "17\n");
        write(
            &format!("cgroup/kubepods/pod1/{ID}{nested}/cgroup.procs"),
            &format!("{}\n", std::process::id()),
        );
        write("self/cgroup", &format!("0::{}\n", if nested.is_empty() { "/" } else { nested }));
        let layout = Layout::detect(&cgroups).unwrap();
        (host, layout)
    }

    #[test]
    fn paths_of_a_container_s_namespace_become_those_of_the_host() {
        for nested in ["", "/init.scope"] {
            let (host, layout) = host(nested);
            let namespace = CgroupNamespace::of_this_process(host.path(), &layout);
            assert_eq!(namespace.root(), Some(format!("/kubepods/pod1/{ID}").as_str()), "{nested}");
            for (relative, absolute) in [
                ("/".to_owned(), format!("/kubepods/pod1/{ID}")),
                (format!("/../../pod2/{OTHER}"), format!("/kubepods/pod2/{OTHER}")),
                ("/../../../system.slice/cron.service".to_owned(), "/system.slice/cron.service".to_owned()),
                ("/../../../../../..".to_owned(), "/".to_owned()),
            ] {
                let text =
                    namespace.absolute(&format!("4:cpu,cpuacct:{relative}\n0::{relative}\n")).into_owned();
                assert_eq!(text, format!("4:cpu,cpuacct:{absolute}\n0::{absolute}\n"), "{relative}");
            }
            let text = namespace.absolute(&format!("0::/../../pod2/{OTHER}\n")).into_owned();
            assert_eq!(layout.container_of_process(&text), Some(format!("/kubepods/pod2/{OTHER}").as_str()));
        }
    }

    #[test]
    fn paths_of_the_host_s_namespace_are_not_changed() {
        let (host, layout) = host("");
        fs::create_dir_all(host.path().join("self/ns")).unwrap();
        std::os::unix::fs::symlink("cgroup:[4026531835]", host.path().join("self/ns/cgroup")).unwrap();
        let namespace = CgroupNamespace::of_this_process(host.path(), &layout);
        assert_eq!(namespace.root(), None);
        assert_eq!(namespace.absolute("0::/../x\n"), "0::/../x\n");
    }

    #[test]
    fn an_agent_that_is_in_no_container_of_the_tree_has_no_root() {
        let (host, layout) = host("");
        fs::write(host.path().join(format!("cgroup/kubepods/pod1/{ID}/cgroup.procs")), "1\n").unwrap();
        assert_eq!(CgroupNamespace::of_this_process(host.path(), &layout).root(), None);
    }
}
