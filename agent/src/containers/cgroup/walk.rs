//! The walk through the tree of cgroups: at start, and now and then for what an event did not tell.
//!
//! Costs one `readdir` per cgroup of the host and one `lstat` per cgroup of a container. Cgroups come and go
//! during the walk; one that vanishes is left out.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::SystemTime,
};

use anyhow::Context as _;

use super::{Layout, ToldCgroup, bytes, container_of};
use crate::containers::Runtime;

/// Deeper cgroups are not visited: nobody nests so deep but to do harm.
const DEPTH_MAX: usize = 64;
/// Most cgroups that one walk visits.
const VISITED_MAX: usize = 65_536;

/// A cgroup of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id: the inode number of its directory. 0 where it is in v1 trees only, on a host that walks the v2
    /// tree.
    pub cgroup_id: u64,
    /// Its path within the tree, with a leading slash, as [`bytes::text`] makes it.
    pub path: String,
    /// The id of the container it belongs to, the deepest one on its path.
    pub container: String,
    /// True for the container's own cgroup, false for one nested in it.
    pub own: bool,
    /// What made the container, as far as the path tells.
    pub runtime: Runtime,
    /// When the directory was made or last gained or lost a child.
    pub made_at: Option<SystemTime>,
}

/// What a walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// The cgroups of containers, each after the one that it is nested in.
    pub found: Vec<Found>,
    /// True where the tree was too deep or too large to be walked to its end.
    pub truncated: bool,
}

/// Finds all containers' cgroups.
///
/// # Errors
/// Where the root of the tree cannot be read.
pub fn walk(layout: &Layout) -> anyhow::Result<Walk> {
    let budget = Budget { depth: DEPTH_MAX, visits: VISITED_MAX };
    let (told, mut walk) = (layout.told.get(), Walk::default());
    walk_tree(&layout.primary, true, &told, budget, &mut walk)?;
    for tree in layout.beside_primary() {
        let mut beside = Walk::default();
        walk_tree(tree, false, &told, budget, &mut beside)?;
        // By path: a cgroup elsewhere that only has the same id must not hide the container.
        let known: HashSet<String> = walk.found.iter().map(|found| found.path.clone()).collect();
        walk.found.extend(beside.found.into_iter().filter(|found| !known.contains(&found.path)));
        walk.truncated |= beside.truncated;
    }
    Ok(walk)
}

/// What is left to one tree.
#[derive(Clone, Copy)]
struct Budget {
    depth: usize,
    visits: usize,
}

/// A directory that is yet to be read.
struct Pending {
    directory: PathBuf,
    path: String,
    depth: usize,
    /// The container that it is in.
    container: Option<(Rc<str>, Runtime)>,
}

fn walk_tree(
    tree: &Path,
    ids: bool,
    told: &HashMap<String, ToldCgroup>,
    mut budget: Budget,
    walk: &mut Walk,
) -> anyhow::Result<()> {
    let root = Pending { directory: tree.to_owned(), path: String::new(), depth: 0, container: None };
    let mut pending = vec![root];
    while let Some(parent) = pending.pop() {
        let entries = match fs::read_dir(&parent.directory) {
            Ok(entries) => entries,
            Err(error) if parent.depth == 0 => {
                return Err(error).with_context(|| format!("read directory {}", tree.display()));
            }
            Err(_) => continue,
        };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if budget.visits == 0 || parent.depth == budget.depth {
                walk.truncated = true;
                break;
            }
            budget.visits -= 1;
            let child = Pending {
                directory: entry.path(),
                path: format!("{}/{}", parent.path, bytes::text(&entry.file_name())),
                depth: parent.depth + 1,
                container: None,
            };
            if let Some(child) = visit(child, &parent, ids, told, walk) {
                pending.push(child);
            }
        }
    }
    Ok(())
}

/// Notes the directory if it is a container's. `None` where it has vanished.
fn visit(
    child: Pending,
    parent: &Pending,
    ids: bool,
    told: &HashMap<String, ToldCgroup>,
    walk: &mut Walk,
) -> Option<Pending> {
    let own = container_of(&child.path).map(|own| (own.id, own.runtime));
    let own = own.or_else(|| told.get(&child.path).map(|told| (told.id.as_str(), told.runtime)));
    let container = match own {
        Some((id, runtime)) => Some((Rc::from(id), runtime)),
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
    fn a_path_that_is_no_text_leads_to_its_directory() {
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
    fn the_deepest_container_owns_a_cgroup() {
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
        assert!(own.made_at.unwrap().elapsed().unwrap().as_secs() < 60);
    }

    #[test]
    fn a_cgroup_that_was_told_of_is_a_container_and_what_is_nested_in_it_is_its_own() {
        let (_root, layout) =
            v2(&["default/web/worker".into(), format!("default/web/{A}"), "default/other".into()]);
        assert_eq!(walk(&layout).unwrap().found.len(), 1, "by its id alone");
        let web = ToldCgroup { id: "default/web".into(), runtime: Runtime::Containerd };
        let told = ["/default/web".to_owned(), "/default/gone".to_owned()].map(|path| (path, web.clone()));
        layout.clone().told().set(told.into());
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
        let mut walk = Walk::default();
        walk_tree(root.path(), true, &HashMap::new(), Budget { depth: 64, visits: 10 }, &mut walk).unwrap();
        assert_eq!((walk.found.len(), walk.truncated), (10, true));

        let mut walk = Walk::default();
        walk_tree(root.path(), true, &HashMap::new(), Budget { depth: 1, visits: 1000 }, &mut walk).unwrap();
        assert_eq!((walk.found.len(), walk.truncated), (1, true));

        let mut walk = Walk::default();
        walk_tree(root.path(), true, &HashMap::new(), Budget { depth: 2, visits: 1000 }, &mut walk).unwrap();
        assert_eq!((walk.found.len(), walk.truncated), (21, false));
    }

    #[test]
    fn links_are_not_followed_and_odd_names_do_no_harm() {
        use std::os::unix::ffi::OsStrExt;
        let (root, layout) = v2(&[format!("docker/{A}")]);
        std::os::unix::fs::symlink(root.path(), root.path().join(format!("docker/{A}/loop"))).unwrap();
        let odd = root.path().join(format!("docker/{A}")).join(std::ffi::OsStr::from_bytes(b"\xff\n"));
        fs::create_dir(odd).unwrap();
        let walk = walk(&layout).unwrap();
        assert_eq!(walk.found.len(), 2);
        assert_eq!(walk.found[1].path, format!("/docker/{A}/\u{fffd}\n"));
    }

    #[test]
    fn a_root_that_is_gone_is_an_error_that_names_it() {
        let (root, layout) = v2(&[]);
        let path = root.path().display().to_string();
        drop(root);
        assert!(walk(&layout).unwrap_err().to_string().contains(&path));
    }
}
