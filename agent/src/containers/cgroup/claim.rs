//! Decides which of several cgroups with one container ID is the container. Anyone who can create a cgroup can name it
//! after another user's container.

use std::{cmp::Reverse, fs, os::unix::fs::MetadataExt as _};

use super::{Layout, container_around, container_of};
use crate::snapshot::identity::Runtime;

/// The evidence for a cgroup, strongest first. Of two cgroups, the one with the greater claim is the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The runtime reported this path, or an earlier run of the container had it.
    known_path: bool,
    /// The cgroup is not in another container.
    outermost: bool,
    /// Root created the cgroup. A user's containers belong to the user, and so does every other cgroup of the user.
    of_root: bool,
    /// The cgroup is not in a tree that systemd delegates to a user.
    of_system: bool,
    /// The path has the form that a runtime uses.
    shaped: bool,
    /// The older cgroup wins; the kernel numbers cgroups in the order of their creation.
    age: Reverse<u64>,
}

impl Claim {
    /// The claim of the cgroup with this path and ID. `known_path` is true if its container is known to have this path.
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

    /// True if an unprivileged process, or one in a container, may have created the cgroup.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        !(self.known_path || self.outermost && self.of_root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "70e4637061cd43873c342a97ef4e85607546d358ac8bb201d6846de850e132cf";
    const OTHER: &str = "1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988";

    #[test]
    fn the_cgroup_with_more_evidence_wins_and_then_the_older_one() {
        let real = Claim::judge(&format!("/docker/{ID}"), Some(0), 700, false);
        for (impostor, owner, age) in [
            // Created before the container was restarted, so it is older.
            (format!("/docker/{OTHER}/{ID}"), 0, 1),
            (format!("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"), 1000, 1),
            (format!("/system.slice/app.service/docker/{ID}"), 33, 1),
            (format!("/somewhere/{ID}"), 0, 1),
            (format!("/other/docker/{ID}"), 0, 701),
            // The form is a runtime's: created by root in a container, and by root in a tree delegated to a user.
            (format!("/docker/{OTHER}/docker/{ID}"), 0, 1),
            (format!("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"), 0, 1),
        ] {
            assert!(real > Claim::judge(&impostor, Some(owner), age, false), "{impostor}");
        }
    }

    #[test]
    fn the_container_of_a_user_is_recognized_by_its_earlier_path() {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        let real = Claim::judge(&format!("{user}/user.slice/libpod-{ID}.scope"), Some(1000), 700, true);
        let impostor = Claim::judge(&format!("{user}/app.slice/docker-{ID}.scope"), Some(1000), 1, false);
        assert!(real > impostor && !real.is_untrusted());
        let first = Claim { known_path: false, ..real };
        assert!(first.is_untrusted(), "until its runtime reports that it runs");
        assert!(!Claim::judge(&format!("/docker/{ID}"), Some(0), 7, false).is_untrusted());
    }
}
