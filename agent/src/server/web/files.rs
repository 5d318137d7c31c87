//! Notices that a file has changed, without reading it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What changes when a file is written or replaced, also by a symbolic link to another directory, as in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size_bytes: u64,
    /// Seconds and nanoseconds. The time of change also changes with the owner and mode, so that a file that has become
    /// readable is read again.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Files with their identities; `None` for a file that cannot be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched(Vec<(PathBuf, Option<Identity>)>);

impl Watched {
    /// Adds a file with its current identity.
    pub(super) fn add(&mut self, path: &Path) {
        self.0.push((path.to_owned(), identify(path)));
    }

    /// The same files with their current identities.
    pub(super) fn look(&self) -> Self {
        Self(self.0.iter().map(|(path, _)| (path.clone(), identify(path))).collect())
    }
}

fn identify(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok()?;
    Some(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_replaced_or_removed_file_and_a_moved_link_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a"), "1").unwrap();
        fs::write(path("b"), "1").unwrap();
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        let mut watched = Watched::default();
        watched.add(&path("a"));
        watched.add(&path("link"));
        assert_eq!(watched.look(), watched);
        fs::write(path("a"), "22").unwrap();
        let written = watched.look();
        assert_ne!(written, watched);
        fs::rename(path("b"), path("a")).unwrap();
        let replaced = written.look();
        assert_ne!(replaced, written);
        fs::write(path("c"), "1").unwrap();
        fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink(path("c"), path("link")).unwrap();
        let linked = replaced.look();
        assert_ne!(linked, replaced);
        fs::remove_file(path("a")).unwrap();
        assert_ne!(linked.look(), linked);
    }
}
