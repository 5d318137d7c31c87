//! Which of several cgroups with one container id is the container. Anybody who may make a cgroup may name it after
//! another's container.

use std::{cmp::Reverse, fs, os::unix::fs::MetadataExt as _};

use super::{Layout, container_around, container_of};
use crate::snapshot::identity::Runtime;

/// What speaks for a cgroup, the strongest first: of two, the greater one is the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Its runtime has named this path, or an earlier run of the container was at it.
    known_path: bool,
    /// It is not in another container.
    outermost: bool,
    /// Root made it. A user's containers belong to the user, and so does whatever else the user makes.
    of_root: bool,
    /// It is not in the tree that systemd delegates to a user.
    of_system: bool,
    /// It has the shape that a runtime gives to its cgroups.
    shaped: bool,
    /// The older one; the kernel numbers cgroups in the order in which they are made.
    age: Reverse<u64>,
}

impl Claim {
    /// Looks at a cgroup of that path and id. `known_path` says whether its container is known to be there.
    #[must_use]
    pub fn of(layout: &Layout, path: &str, cgroup_id: u64, known_path: bool) -> Self {
        let beside = || layout.beside_primary().map(|tree| super::within(tree, path));
        let directories = std::iter::once(layout.primary(path)).chain(beside());
        let owner = directories.filter_map(|directory| fs::symlink_metadata(directory).ok()).next();
        Self::judge(path, owner.map(|metadata| metadata.uid()), cgroup_id, known_path)
    }

    fn judge(path: &str, owner: Option<u32>, cgroup_id: u64, known_path: bool) -> Self {
        let mut components = path.split('/');
        let shaped = container_of(path).is_some_and(|own| own.runtime != Runtime::Unknown)
            || components.clone().any(|name| name.starts_with("kubepods"));
        Self {
            known_path,
            outermost: container_around(path).is_none(),
            of_root: owner == Some(0),
            of_system: !components.any(|name| name.starts_with("user@")),
            shaped,
            age: Reverse(if cgroup_id == 0 { u64::MAX } else { cgroup_id }),
        }
    }

    /// Whether an unprivileged process, or one in a container, may have made it.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        !(self.known_path || self.outermost && self.of_root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";
    const OTHER: &str = "1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988";

    #[test]
    fn the_better_placed_one_is_the_container_then_the_older_one() {
        let real = Claim::judge(&format!("/docker/{ID}"), Some(0), 700, false);
        for (impostor, owner, age) in [
            // Made before the container was started again, so it is older.
            (format!("/docker/{OTHER}/{ID}"), 0, 1),
            (format!("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"), 1000, 1),
            (format!("/system.slice/app.service/docker/{ID}"), 33, 1),
            (format!("/somewhere/{ID}"), 0, 1),
            (format!("/other/docker/{ID}"), 0, 701),
            // Shaped as a runtime would shape it: by root in a container, and by root where a user may make cgroups.
            (format!("/docker/{OTHER}/docker/{ID}"), 0, 1),
            (format!("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"), 0, 1),
        ] {
            assert!(real > Claim::judge(&impostor, Some(owner), age, false), "{impostor}");
        }
    }

    #[test]
    fn a_users_own_container_is_where_it_was_before() {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        let real = Claim::judge(&format!("{user}/user.slice/libpod-{ID}.scope"), Some(1000), 700, true);
        let impostor = Claim::judge(&format!("{user}/app.slice/docker-{ID}.scope"), Some(1000), 1, false);
        assert!(real > impostor && !real.is_doubtful());
        let first = Claim { known_path: false, ..real };
        assert!(first.is_doubtful(), "until its runtime reports that it runs");
        assert!(!Claim::judge(&format!("/docker/{ID}"), Some(0), 7, false).is_doubtful());
    }
}
