//! Checks whether a cgroup or its nested cgroups have processes.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{Layout, Mode, within};

/// Maximum number of nested cgroups that are searched for a process on v1.
const NESTED_MAX: usize = 64;

impl Layout {
    /// True if the cgroup at `path` or a nested one has processes. `None` if that cannot be read. Costs reading one
    /// small file on v2, and on v1 the process lists until a process is found.
    #[must_use]
    pub fn populated(&self, path: &str) -> Option<bool> {
        let unified = self.unified(path).and_then(|directory| by_events(&directory));
        if unified == Some(true) || self.mode() == Mode::V2 {
            return unified;
        }
        let mut found = unified;
        let trees = std::iter::once(self.primary.as_path()).filter(|_| self.mode() == Mode::V1);
        for tree in trees.chain(self.beside_primary()) {
            match by_lists(&within(tree, path), &mut { NESTED_MAX }) {
                Some(true) => return Some(true),
                empty => found = found.or(empty),
            }
        }
        found
    }
}

/// The line `populated` of `cgroup.events`, which includes nested cgroups.
fn by_events(directory: &Path) -> Option<bool> {
    let text = fs::read_to_string(directory.join("cgroup.events")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix("populated ")? == "1"))
}

/// The directories of the cgroups nested directly in the one at `directory`. Cgroupfs counts a link for each, in
/// addition to the directory's own two. So a cgroup without nested ones costs 1 µs, instead of the 20 µs of reading its
/// directory. Filesystems that do not count links report 1.
pub fn nested_directories(directory: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let may_have_any = fs::metadata(directory).map_or(true, |metadata| metadata.nlink() != 2);
    let entries = may_have_any.then(|| fs::read_dir(directory));
    let entries = entries.into_iter().flatten().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

fn by_lists(directory: &Path, left: &mut usize) -> Option<bool> {
    let list = fs::File::open(directory.join("cgroup.procs")).and_then(|mut file| {
        let mut first = [0; 1];
        std::io::Read::read(&mut file, &mut first)
    });
    if list.ok()? > 0 {
        return Some(true);
    }
    for entry in nested_directories(directory) {
        if *left == 0 {
            return None;
        }
        *left -= 1;
        if by_lists(&entry.path(), left) == Some(true) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_v2_the_kernel_includes_nested_cgroups() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu\n").unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        let layout = Layout::detect(root.path()).unwrap();
        assert_eq!(layout.populated("/a"), None, "no such file");
        for (text, populated) in
            [("populated 1\nfrozen 0\n", Some(true)), ("populated 0\n", Some(false)), ("", None)]
        {
            fs::write(root.path().join("a/cgroup.events"), text).unwrap();
            assert_eq!(layout.populated("/a"), populated, "{text:?}");
        }
    }

    #[test]
    fn on_v1_and_hybrid_hosts_the_process_lists_are_read() {
        let root = tempfile::tempdir().unwrap();
        for path in ["cpu/a/nested", "unified/a", "memory"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        for path in ["cpu", "cpu/a", "cpu/a/nested", "memory"] {
            fs::write(root.path().join(path).join("cgroup.procs"), "").unwrap();
        }
        let v1 = Layout::detect(root.path()).unwrap();
        assert_eq!((v1.mode(), v1.populated("/a"), v1.populated("/gone")), (Mode::V1, Some(false), None));
        fs::write(root.path().join("unified/cgroup.controllers"), "").unwrap();
        let hybrid = Layout::detect(root.path()).unwrap();
        assert_eq!((hybrid.mode(), hybrid.populated("/a")), (Mode::Hybrid, Some(false)));
        fs::write(root.path().join("unified/a/cgroup.events"), "populated 0\n").unwrap();
        fs::write(root.path().join("cpu/a/nested/cgroup.procs"), "7\n").unwrap();
        assert_eq!((v1.populated("/a"), hybrid.populated("/a")), (Some(true), Some(true)));
    }
}
