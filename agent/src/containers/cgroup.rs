//! The host's cgroup hierarchies, the cgroups that are containers, and the walk that finds them.
//!
//! Hosts use one of three modes. On *v2*, one tree has all controllers. On *v1*, each controller has a tree of its own
//! or shares one (`cpu,cpuacct`). *Hybrid* is v1 plus a v2 tree at `unified`, which has the processes but usually no
//! controllers. Runtimes give a container the same path in every tree.
//!
//! Works with every kernel that has cgroups, and uses no runtime.

pub mod bytes;
mod claim;
mod namespace;
mod path;
mod populated;
mod reported;
mod walk;

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

pub use self::{
    claim::Claim,
    namespace::CgroupNamespace,
    path::{ContainerPath, container_above, container_around, container_of, is_id},
    populated::nested_directories,
    reported::{ByPath, ReportedCgroup, ReportedCgroups},
    walk::{Found, Walk, Walker, walk},
};

/// Files that identify a directory as the root of a tree.
const V2_MARK: &str = "cgroup.controllers";
const ANY_MARK: &str = "cgroup.procs";
/// The directory below the cgroup mount where a hybrid host mounts its v2 tree.
const UNIFIED: &str = "unified";

/// How a host mounts its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One tree for everything.
    V2,
    /// A tree per controller.
    V1,
    /// A tree per controller, plus a v2 tree.
    Hybrid,
}

impl Mode {
    /// `v2`, `v1` or `hybrid`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
        }
    }
}

/// The trees of all controllers.
#[derive(Clone, Debug)]
pub struct Layout {
    mode: Mode,
    /// The tree that is walked. Its inode numbers are the cgroup IDs.
    primary: PathBuf,
    /// The controllers of the v2 tree, if there is one.
    unified: Vec<String>,
    /// The v1 trees, one entry per controller.
    v1: Vec<(String, PathBuf)>,
    reported: ReportedCgroups,
}

impl Layout {
    /// Detects the layout below the cgroup mount, usually `/sys/fs/cgroup`. Reads one directory and a few files.
    ///
    /// # Errors
    /// If there is no cgroup tree; the error lists what was searched for.
    pub fn detect(cgroup_root: &Path) -> anyhow::Result<Self> {
        if cgroup_root.join(V2_MARK).exists() {
            let unified = v2_controllers(cgroup_root)?;
            return Ok(Self {
                mode: Mode::V2,
                primary: cgroup_root.to_owned(),
                unified,
                v1: Vec::new(),
                reported: ReportedCgroups::default(),
            });
        }
        let v1 = v1_trees(cgroup_root)?;
        let beside = cgroup_root.join(UNIFIED);
        if beside.join(V2_MARK).exists() {
            let unified = v2_controllers(&beside)?;
            return Ok(Self {
                mode: Mode::Hybrid,
                primary: beside,
                unified,
                v1,
                reported: ReportedCgroups::default(),
            });
        }
        let primary = ["cpu", "cpuacct", "memory"].iter().find_map(|name| tree(&v1, name)).with_context(|| {
            format!(
                "find cgroups in {}: it has neither {V2_MARK} (v2), nor {UNIFIED}/{V2_MARK} (hybrid), nor a v1 tree \
                 for cpu, cpuacct or memory",
                cgroup_root.display()
            )
        })?;
        Ok(Self {
            mode: Mode::V1,
            primary: primary.to_owned(),
            unified: Vec::new(),
            v1,
            reported: ReportedCgroups::default(),
        })
    }

    /// The mode of this host.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The directory of the cgroup at `path` (with a leading slash) in the tree of `controller`, given by its v1 name
    /// (`cpu`, `cpuacct`, `memory`, `pids`, `blkio`, `hugetlb`). `None` if this host does not have the controller. Does
    /// not check that the directory exists.
    #[must_use]
    pub fn directory(&self, controller: &str, path: &str) -> Option<PathBuf> {
        if self.is_unified(controller) {
            Some(self.primary(path))
        } else {
            Some(within(tree(&self.v1, controller)?, path))
        }
    }

    /// True if `controller` is read from the v2 tree, which has other file names than v1.
    #[must_use]
    pub fn is_unified(&self, controller: &str) -> bool {
        let v2_name = if controller == "blkio" { "io" } else { controller };
        // Every v2 tree accounts CPU time, even without the cpu controller.
        let accounts =
            controller == "cpuacct" && self.mode != Mode::V1 && tree(&self.v1, controller).is_none();
        accounts || self.unified.iter().any(|name| name == v2_name)
    }

    /// The directory of the cgroup at `path` in the tree that is walked: the v2 tree if it is mounted, else v1's `cpu`.
    #[must_use]
    pub fn primary(&self, path: &str) -> PathBuf {
        within(&self.primary, path)
    }

    /// True if the cgroup at `path` exists and has this ID. The ID is 0 for a cgroup that exists only in v1's trees. A
    /// path with bytes that are not UTF-8 cannot be looked up, and is assumed to exist.
    #[must_use]
    pub fn exists(&self, path: &str, cgroup_id: u64) -> bool {
        let id = |directory: &Path| std::fs::symlink_metadata(directory).ok().map(|metadata| metadata.ino());
        path.contains(char::REPLACEMENT_CHARACTER)
            || match cgroup_id {
                0 => self.beside_primary().any(|tree| id(&within(tree, path)).is_some()),
                cgroup_id => id(&self.primary(path)) == Some(cgroup_id),
            }
    }

    /// The directory of the cgroup at `path` in the v2 tree, of a v2 or hybrid host. `None` on a pure v1 host.
    #[must_use]
    pub fn unified(&self, path: &str) -> Option<PathBuf> {
        (self.mode != Mode::V1).then(|| self.primary(path))
    }

    /// The cgroups that are containers because a runtime reports them. Clones of a layout share this table.
    #[must_use]
    pub const fn reported(&self) -> &ReportedCgroups {
        &self.reported
    }

    /// The v1 trees in which a hybrid host may have containers that are missing from its v2 tree.
    fn beside_primary(&self) -> impl Iterator<Item = &Path> {
        let hybrid = self.mode == Mode::Hybrid;
        ["cpu", "memory"].into_iter().filter(move |_| hybrid).filter_map(|name| tree(&self.v1, name))
    }

    /// The path of the deepest container that a process is in, from the text of its `/proc/PID/cgroup`: in the tree
    /// that is walked, then in v1's trees.
    #[must_use]
    pub fn container_of_process<'a>(&self, cgroups: &'a str) -> Option<&'a str> {
        let trees: &[&str] = match self.mode {
            Mode::V2 => &[""],
            Mode::Hybrid => &["", "cpu", "memory"],
            Mode::V1 => &["cpu", "cpuacct", "memory"],
        };
        let reported = self.reported.get();
        trees.iter().find_map(|tree| {
            let line = cgroups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            let mut paths = line.filter(|(controllers, _)| controllers.split(',').any(|name| name == *tree));
            paths.find_map(|(_, path)| {
                path::above(path, |path| container_of(path).is_some() || reported.contains_key(path))
            })
        })
    }

    /// The kernel's number of the hierarchy that is walked: 0 for v2, else the number from `cgroups` in procfs.
    ///
    /// # Errors
    /// If that file cannot be read or has no usable line for `cpu`.
    pub fn hierarchy_id(&self, proc_root: &Path) -> anyhow::Result<u32> {
        if self.mode != Mode::V1 {
            return Ok(0);
        }
        let file = proc_root.join("cgroups");
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        text.lines()
            .map(|line| line.split_ascii_whitespace())
            .find_map(|mut columns| {
                (columns.next()? == "cpu").then(|| columns.next()?.parse().ok()).flatten()
            })
            .with_context(|| format!("find the number of the cpu hierarchy in {}", file.display()))
    }
}

/// The directory of a cgroup. The leading slash of `path` is removed, because joining it would replace `tree`.
fn within(tree: &Path, path: &str) -> PathBuf {
    tree.join(bytes::name(path.trim_start_matches('/')))
}

fn tree<'a>(trees: &'a [(String, PathBuf)], controller: &str) -> Option<&'a Path> {
    trees.iter().find_map(|(name, tree)| (name == controller).then_some(tree.as_path()))
}

fn v2_controllers(tree: &Path) -> anyhow::Result<Vec<String>> {
    let file = tree.join(V2_MARK);
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The trees of a v1 mount, by the names of their directories. `cpu` is often a link to `cpu,cpuacct`.
fn v1_trees(cgroup_root: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut trees = Vec::new();
    let entries = std::fs::read_dir(cgroup_root)
        .with_context(|| format!("read directory {}", cgroup_root.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read directory {}", cgroup_root.display()))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let directory = entry.path();
        if name == UNIFIED || !directory.join(ANY_MARK).exists() {
            continue;
        }
        trees.extend(name.split(',').map(|controller| (controller.to_owned(), directory.clone())));
    }
    Ok(trees)
}

#[cfg(test)]
mod tests;
