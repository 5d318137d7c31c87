//! The walk through the cgroup tree: at the start of the agent, and periodically to find what events missed.
//!
//! Costs one `readdir` per cgroup of the host and one `lstat` per cgroup of a container. Cgroups are created and
//! removed during the walk; one that disappears is skipped. A [`Walker`] stops at a deadline and continues at the next
//! call, so that a tree with tens of thousands of cgroups does not delay a tick.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context as _;

use super::{Layout, ReportedCgroup, bytes, container_of};
use crate::snapshot::identity::Runtime;

/// Deeper cgroups are not visited. Real hierarchies are much shallower; a deeper one is probably an attack.
const DEPTH_MAX: usize = 64;
/// Maximum number of cgroups that one walk visits.
const VISITED_MAX: usize = 65_536;

/// A cgroup of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The cgroup ID: the inode number of the directory. 0 if the cgroup exists only in v1's trees on a hybrid host.
    pub cgroup_id: u64,
    /// The path within the tree, with a leading slash, as converted by [`bytes::text`].
    pub path: String,
    /// The ID of the container that the cgroup belongs to: the deepest one on the path.
    pub container: String,
    /// True for the container's own cgroup, false for one nested in it.
    pub own: bool,
    /// The runtime that created the container, as far as the path shows.
    pub runtime: Runtime,
    /// When the directory was created or last gained or lost a child.
    pub made_at: Option<SystemTime>,
}

/// The result of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// The cgroups of containers. A nested cgroup comes after the one that contains it.
    pub found: Vec<Found>,
    /// True if the tree was too deep or too large to walk completely.
    pub truncated: bool,
}

/// Finds the cgroups of all containers.
///
/// # Errors
/// If the root of the tree cannot be read.
pub fn walk(layout: &Layout) -> anyhow::Result<Walk> {
    let mut walker = Walker::new(layout);
    loop {
        if let Some(walk) = walker.step(None)? {
            return Ok(walk);
        }
    }
}

/// An interruptible walk.
pub struct Walker {
    reported: Arc<HashMap<String, ReportedCgroup>>,
    /// The remaining trees in reverse order. The flag is true if their inode numbers are the cgroup IDs.
    trees: Vec<(PathBuf, bool)>,
    tree: Option<TreeWalk>,
    /// The results from completed trees.
    walk: Walk,
}

impl Walker {
    /// Creates a walk that has not started.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let mut trees: Vec<_> = layout.beside_primary().map(|tree| (tree.to_owned(), false)).collect();
        trees.reverse();
        trees.push((layout.primary.clone(), true));
        Self { reported: layout.reported.get(), trees, tree: None, walk: Walk::default() }
    }

    /// Continues until the deadline or the end. `None` if the walk is not complete.
    ///
    /// # Errors
    /// If the root of a tree cannot be read.
    pub fn step(&mut self, deadline: Option<Instant>) -> anyhow::Result<Option<Walk>> {
        loop {
            let Some(tree) = &mut self.tree else {
                let Some((root, ids)) = self.trees.pop() else {
                    return Ok(Some(std::mem::take(&mut self.walk)));
                };
                let budget = Budget { depth: DEPTH_MAX, visits: VISITED_MAX };
                self.tree = Some(TreeWalk::new(&root, ids, budget)?);
                continue;
            };
            if !tree.step(&self.reported, deadline) {
                return Ok(None);
            }
            let beside = self.tree.take().map(|tree| tree.walk).unwrap_or_default();
            // Compared by path, because a cgroup elsewhere with the same container ID must not hide the container.
            let known: HashSet<String> = self.walk.found.iter().map(|found| found.path.clone()).collect();
            let new = beside.found.into_iter().filter(|found| !known.contains(&found.path));
            self.walk.found.extend(new);
            self.walk.truncated |= beside.truncated;
        }
    }
}

/// The limits for one tree.
#[derive(Clone, Copy)]
struct Budget {
    depth: usize,
    visits: usize,
}

/// A directory that has not been read.
struct Pending {
    directory: PathBuf,
    path: String,
    depth: usize,
    /// The container that the directory is in.
    container: Option<(Arc<str>, Runtime)>,
}

/// The walk through one tree.
struct TreeWalk {
    ids: bool,
    budget: Budget,
    /// The directory that is being read.
    current: Option<(Pending, fs::ReadDir)>,
    pending: Vec<Pending>,
    walk: Walk,
}

impl TreeWalk {
    fn new(tree: &Path, ids: bool, budget: Budget) -> anyhow::Result<Self> {
        let entries = fs::read_dir(tree).with_context(|| format!("read directory {}", tree.display()))?;
        let root = Pending { directory: tree.to_owned(), path: String::new(), depth: 0, container: None };
        let current = Some((root, entries));
        Ok(Self { ids, budget, current, pending: Vec::new(), walk: Walk::default() })
    }

    /// Continues until the deadline or the end. True at the end.
    fn step(&mut self, reported: &HashMap<String, ReportedCgroup>, deadline: Option<Instant>) -> bool {
        loop {
            let Some((parent, entries)) = &mut self.current else {
                let Some(parent) = self.pending.pop() else { return true };
                // The directory may have been removed.
                self.current = fs::read_dir(&parent.directory).ok().map(|entries| (parent, entries));
                continue;
            };
            let Some(entry) = entries.next() else {
                self.current = None;
                continue;
            };
            let Some(entry) = entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            else {
                continue;
            };
            if self.budget.visits == 0 || parent.depth == self.budget.depth {
                self.walk.truncated = true;
                self.current = None;
                continue;
            }
            self.budget.visits -= 1;
            let child = Pending {
                directory: entry.path(),
                path: format!("{}/{}", parent.path, bytes::text(&entry.file_name())),
                depth: parent.depth + 1,
                container: None,
            };
            self.pending.extend(visit(child, parent, self.ids, reported, &mut self.walk));
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
        }
    }
}

/// Records the directory if it belongs to a container. `None` if the directory was removed.
fn visit(
    child: Pending,
    parent: &Pending,
    ids: bool,
    reported: &HashMap<String, ReportedCgroup>,
    walk: &mut Walk,
) -> Option<Pending> {
    let own = container_of(&child.path).map(|own| (own.id, own.runtime));
    let own =
        own.or_else(|| reported.get(&child.path).map(|reported| (reported.id.as_str(), reported.runtime)));
    let container = match own {
        Some((id, runtime)) => Some((Arc::from(id), runtime)),
        None => parent.container.clone(),
    };
    if let Some((id, runtime)) = &container {
        let metadata = match fs::symlink_metadata(&child.directory) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(_) => None,
        };
        walk.found.push(Found {
            cgroup_id: metadata.as_ref().filter(|_| ids).map_or(0, MetadataExt::ino),
            path: child.path.clone(),
            container: id.as_ref().to_owned(),
            own: own.is_some(),
            runtime: *runtime,
            made_at: metadata.and_then(|metadata| metadata.modified().ok()),
        });
    }
    Some(Pending { container, ..child })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn v2(paths: &[String]) -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu memory\n").unwrap();
        for path in paths {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        let layout = Layout::detect(root.path()).unwrap();
        (root, layout)
    }

    fn summary(walk: &Walk) -> Vec<(&str, &str, bool)> {
        let mut rows: Vec<_> = walk
            .found
            .iter()
            .map(|found| (found.path.as_str(), found.container.as_str(), found.own))
            .collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn a_path_with_invalid_utf_8_leads_to_its_directory() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

        let (root, layout) = v2(&[]);
        let directory = root.path().join(OsStr::from_bytes(b"pod\xFF\xC3")).join(A);
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir_all(root.path().join(OsStr::from_bytes(b"pod\xFE\xC3")).join(B)).unwrap();
        let walk = walk(&layout).unwrap();
        let own = walk.found.iter().find(|found| found.container == A).unwrap();
        assert_eq!(layout.primary(&own.path), directory);
        assert_eq!(fs::metadata(layout.primary(&own.path)).unwrap().ino(), own.cgroup_id);
        assert_eq!(walk.found.len(), 2);
    }

    #[test]
    fn a_cgroup_belongs_to_the_deepest_container() {
        let (root, layout) = v2(&[
            format!("docker/{A}/init.scope"),
            format!("docker/{A}/docker/{B}/worker"),
            "system.slice/cron.service".into(),
        ]);
        let walk = walk(&layout).unwrap();
        let a = format!("/docker/{A}");
        let b = format!("/docker/{A}/docker/{B}");
        let expected = [
            (a.clone(), A, true),
            (format!("{a}/docker"), A, false),
            (b.clone(), B, true),
            (format!("{b}/worker"), B, false),
            (format!("{a}/init.scope"), A, false),
        ];
        let expected: Vec<_> = expected.iter().map(|(path, id, own)| (path.as_str(), *id, *own)).collect();
        assert_eq!(summary(&walk), expected);
        assert!(!walk.truncated);
        let inode = fs::metadata(root.path().join(format!("docker/{A}"))).unwrap().ino();
        let own = walk.found.iter().find(|found| found.path == a).unwrap();
        assert_eq!(own.cgroup_id, inode);
        assert!(own.made_at.unwrap() > SystemTime::now() - Duration::from_secs(60));
    }

    #[test]
    fn a_reported_cgroup_is_a_container_and_includes_its_nested_cgroups() {
        let (_root, layout) =
            v2(&["default/web/worker".into(), format!("default/web/{A}"), "default/other".into()]);
        assert_eq!(walk(&layout).unwrap().found.len(), 1, "only the cgroup with an ID in its path");
        let web = ReportedCgroup { id: "default/web".into(), runtime: Runtime::Containerd };
        let reported =
            ["/default/web".to_owned(), "/default/gone".to_owned()].map(|path| (path, web.clone()));
        layout.clone().reported().set(reported.into());
        let walk = walk(&layout).unwrap();
        let a = format!("/default/web/{A}");
        let expected = [
            ("/default/web", "default/web", true),
            (a.as_str(), A, true),
            ("/default/web/worker", "default/web", false),
        ];
        assert_eq!(summary(&walk), expected);
        assert_eq!(walk.found[0].runtime, Runtime::Containerd);
        let process = |path: &str| layout.container_of_process(&format!("0::{path}\n")).map(str::to_owned);
        assert_eq!(process("/default/web/worker/deep").as_deref(), Some("/default/web"));
        assert_eq!(process(&format!("{a}/deep")), Some(a.clone()));
        assert_eq!(process("/default/other"), None);
    }

    #[test]
    fn on_hybrid_hosts_a_container_without_a_v2_cgroup_is_found_without_an_id() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            format!("unified/docker/{A}"),
            format!("cpu/docker/{A}"),
            format!("cpu/docker/{B}"),
            format!("memory/docker/{B}"),
        ] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        fs::write(root.path().join("unified/cgroup.controllers"), "\n").unwrap();
        for tree in ["cpu", "memory"] {
            fs::write(root.path().join(tree).join("cgroup.procs"), "").unwrap();
        }
        let walk = walk(&Layout::detect(root.path()).unwrap()).unwrap();
        assert_eq!(walk.found.len(), 2, "{walk:?}");
        assert_eq!((walk.found[0].container.as_str(), walk.found[0].cgroup_id == 0), (A, false));
        assert_eq!((walk.found[1].container.as_str(), walk.found[1].cgroup_id), (B, 0));
    }

    #[test]
    fn a_tree_that_is_too_large_or_too_deep_is_reported() {
        let paths: Vec<String> = (0..20).map(|number| format!("{A}/{number}")).collect();
        let (root, _) = v2(&paths);
        let walk_of = |depth, visits| {
            let mut tree = TreeWalk::new(root.path(), true, Budget { depth, visits }).unwrap();
            assert!(tree.step(&HashMap::new(), None));
            tree.walk
        };
        let walk = walk_of(64, 10);
        assert_eq!((walk.found.len(), walk.truncated), (10, true));

        let walk = walk_of(1, 1000);
        assert_eq!((walk.found.len(), walk.truncated), (1, true));

        let walk = walk_of(2, 1000);
        assert_eq!((walk.found.len(), walk.truncated), (21, false));
    }

    #[test]
    fn a_walk_that_is_interrupted_finds_the_same() {
        let paths: Vec<String> = (0..50).map(|number| format!("docker/{A}/{number}/deeper")).collect();
        let (_root, layout) = v2(&paths);
        let mut walker = Walker::new(&layout);
        let mut steps = 1;
        let stepped = loop {
            // With a deadline in the past, each step visits one cgroup.
            if let Some(walk) = walker.step(Some(Instant::now())).unwrap() {
                break walk;
            }
            steps += 1;
        };
        assert_eq!(summary(&stepped), summary(&walk(&layout).unwrap()));
        assert_eq!(steps, 103, "one step per cgroup, and one for the end");
    }

    #[test]
    fn links_are_not_followed_and_unusual_names_are_kept() {
        use std::os::unix::ffi::OsStrExt;
        let (root, layout) = v2(&[format!("docker/{A}")]);
        std::os::unix::fs::symlink(root.path(), root.path().join(format!("docker/{A}/loop"))).unwrap();
        let odd = root.path().join(format!("docker/{A}")).join(std::ffi::OsStr::from_bytes(b"\xff\n"));
        fs::create_dir(odd).unwrap();
        let walk = walk(&layout).unwrap();
        assert_eq!(walk.found.len(), 2);
        assert_eq!(walk.found[1].path, format!("/docker/{A}/\u{10feff}\n"));
    }

    #[test]
    fn a_missing_root_is_an_error_that_names_it() {
        let (root, layout) = v2(&[]);
        let path = root.path().display().to_string();
        drop(root);
        assert!(walk(&layout).unwrap_err().to_string().contains(&path));
    }
}
