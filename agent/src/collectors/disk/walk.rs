//! A walk over every file of a layer, as `du` does it. It sums the disk space of all files and counts files with
//! several hard links once. It follows no symbolic links and enters no other filesystem. It runs in slices, so that its
//! caller can rest in between.
//!
//! The container may change all of this during the walk and create trees that are hard to walk. Therefore files, hard
//! links, memory and time are limited, and the walk is given up beyond these limits. It holds at most one open
//! directory besides the layer's.

use std::{
    collections::HashSet,
    fs::{self, DirEntry, ReadDir},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirEntryExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::containers::directory::Directory;

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Limits of a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Maximum number of files and directories.
    pub(super) entries: u64,
    /// Maximum number of files with several hard links.
    pub(super) links: usize,
    /// Maximum number of bytes in the paths of directories that remain to be walked.
    pub(super) pending_bytes: usize,
    /// Maximum time spent walking, without rests.
    pub(super) spent: Duration,
}

/// Half an hour at two per cent of a core; at most about 6 MB of memory.
pub(super) const BOUNDS: Bounds =
    Bounds { entries: 2_000_000, links: 65_536, pending_bytes: 4 << 20, spent: Duration::from_secs(36) };

/// State of a walk after a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Some files remain.
    More,
    /// The walk is complete, with this many bytes.
    Done(u64),
    /// The walk exceeded its limits, for this reason.
    GivenUp(&'static str),
}

/// A walk in progress.
#[derive(Debug)]
pub(super) struct Walk {
    layer: Directory,
    device: u64,
    bounds: Bounds,
    /// Directories that remain to be walked, by their paths below the layer.
    pending: Vec<PathBuf>,
    pending_bytes: usize,
    /// The directory that is being read, and its path.
    current: Option<(ReadDir, PathBuf)>,
    links: HashSet<u64>,
    entries: u64,
    blocks: u64,
    spent: Duration,
}

/// Why a step cannot continue.
enum Stop {
    /// The walk exceeded its limits, or hit an entry that it cannot read.
    Beyond(&'static str),
    /// The entry no longer exists, or is no longer a directory.
    Gone,
}

impl Walk {
    pub(super) fn new(layer: Directory, bounds: Bounds) -> io::Result<Self> {
        let metadata = layer.file().metadata()?;
        let mut walk = Self {
            device: metadata.dev(),
            layer,
            bounds,
            pending: Vec::new(),
            pending_bytes: 0,
            current: None,
            links: HashSet::new(),
            entries: 0,
            blocks: metadata.blocks(),
            spent: Duration::ZERO,
        };
        walk.current = Some((read(&walk.layer)?, PathBuf::new()));
        Ok(walk)
    }

    /// Continues the walk for about one slice.
    pub(super) fn step(&mut self, slice: Duration) -> Step {
        let begun = Instant::now();
        let step = loop {
            match self.next() {
                Ok(None) => break Step::Done(self.blocks.saturating_mul(BLOCK_BYTES)),
                Err(Stop::Beyond(reason)) => break Step::GivenUp(reason),
                Ok(Some(())) | Err(Stop::Gone) if begun.elapsed() >= slice => break Step::More,
                Ok(Some(())) | Err(Stop::Gone) => {}
            }
        };
        self.spent += begun.elapsed();
        if step == Step::More && self.spent > self.bounds.spent {
            Step::GivenUp("it takes too long")
        } else {
            step
        }
    }

    /// Reads one entry, or opens one directory; `None` at the end.
    fn next(&mut self) -> Result<Option<()>, Stop> {
        let Some((reading, path)) = &mut self.current else {
            let Some(path) = self.pending.pop() else {
                return Ok(None);
            };
            self.pending_bytes -= path.as_os_str().len();
            let reading = self.layer.below(&path).and_then(|directory| read(&directory)).map_err(stop)?;
            self.current = Some((reading, path));
            return Ok(Some(()));
        };
        match reading.next() {
            None => {
                self.current = None;
                Ok(Some(()))
            }
            Some(entry) => {
                let path = path.clone();
                self.look_at(&entry.map_err(stop)?, &path).map(Some)
            }
        }
    }

    fn look_at(&mut self, entry: &DirEntry, directory: &Path) -> Result<(), Stop> {
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(Stop::Beyond("too many files"));
        }
        let metadata = entry.metadata().map_err(stop)?;
        if metadata.dev() != self.device {
            return Ok(());
        }
        if metadata.is_dir() {
            let path = directory.join(entry.file_name());
            self.pending_bytes += path.as_os_str().len();
            if self.pending_bytes > self.bounds.pending_bytes {
                return Err(Stop::Beyond("too many directories"));
            }
            self.pending.push(path);
        } else if metadata.nlink() > 1 {
            if !self.links.contains(&entry.ino()) && self.links.len() >= self.bounds.links {
                return Err(Stop::Beyond("too many files with several hard links"));
            }
            if !self.links.insert(entry.ino()) {
                return Ok(());
            }
        }
        self.blocks = self.blocks.saturating_add(metadata.blocks());
        Ok(())
    }
}

/// Lists an open directory through its path in `/proc/self/fd`.
fn read(directory: &Directory) -> io::Result<ReadDir> {
    fs::read_dir(format!("/proc/self/fd/{}", directory.file().as_raw_fd()))
}

fn stop(error: io::Error) -> Stop {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EXDEV | libc::ESTALE) => Stop::Gone,
        Some(libc::ENAMETOOLONG) => Stop::Beyond("directories nested too deeply"),
        _ => Stop::Beyond("an entry that cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    fn layer(root: &Path) -> Directory {
        Directory::host_root(Path::new("/nowhere")).unwrap().on_host(root).unwrap()
    }

    fn to_the_end(walk: &mut Walk, slice: Duration) -> (Step, u32) {
        let mut steps = 0;
        loop {
            steps += 1;
            match walk.step(slice) {
                Step::More => assert!(steps < 1_000_000),
                end => return (end, steps),
            }
        }
    }

    fn walked(root: &Path, bounds: Bounds) -> Step {
        to_the_end(&mut Walk::new(layer(root), bounds).unwrap(), Duration::from_secs(1)).0
    }

    fn du(root: &Path) -> u64 {
        let output = Command::new("du").args(["-s", "--block-size=1"]).arg(root).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split('\t').next().unwrap().parse().unwrap()
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in 0..20 {
            let directory = root.path().join(format!("{directory}/a/b"));
            fs::create_dir_all(&directory).unwrap();
            for file in 0..20 {
                fs::write(directory.join(file.to_string()), vec![1; file * 1000]).unwrap();
            }
        }
        root
    }

    #[test]
    fn a_walk_in_one_slice_or_many_agrees_with_du() {
        let root = tree();
        symlink("/", root.path().join("out")).unwrap();
        let file = fs::File::create(root.path().join("hole")).unwrap();
        file.set_len(1 << 40).unwrap();
        let expected = Step::Done(du(root.path()));
        assert_eq!(walked(root.path(), BOUNDS), expected);
        let mut walk = Walk::new(layer(root.path()), BOUNDS).unwrap();
        let (end, steps) = to_the_end(&mut walk, Duration::ZERO);
        assert_eq!(end, expected);
        assert!(steps > 400, "{steps}");
    }

    #[test]
    fn a_file_with_several_hard_links_counts_once() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), vec![1; 1 << 20]).unwrap();
        let once = walked(root.path(), BOUNDS);
        for name in ["b", "c", "d"] {
            fs::hard_link(root.path().join("a"), root.path().join(name)).unwrap();
        }
        assert_eq!(walked(root.path(), BOUNDS), once);
        assert_eq!(once, Step::Done(du(root.path())));
    }

    #[test]
    fn a_walk_is_given_up_at_each_limit() {
        let root = tree();
        fs::hard_link(root.path().join("0/a/b/1"), root.path().join("0/a/b/link")).unwrap();
        let given_up = |bounds| match walked(root.path(), bounds) {
            Step::GivenUp(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(given_up(Bounds { entries: 400, ..BOUNDS }), "too many files");
        assert_eq!(given_up(Bounds { pending_bytes: 20, ..BOUNDS }), "too many directories");
        assert_eq!(given_up(Bounds { links: 0, ..BOUNDS }), "too many files with several hard links");
        let mut walk = Walk::new(layer(root.path()), Bounds { spent: Duration::ZERO, ..BOUNDS }).unwrap();
        assert_eq!(walk.step(Duration::ZERO), Step::GivenUp("it takes too long"));
    }

    #[test]
    fn a_walk_is_given_up_if_paths_become_too_long() {
        let root = tempfile::tempdir().unwrap();
        let name = "x".repeat(200);
        let script = format!(
            "cd '{}'; i=0; while [ $i -lt 30 ]; do mkdir {name}; cd {name}; i=$((i+1)); done",
            root.path().display()
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        assert_eq!(walked(root.path(), BOUNDS), Step::GivenUp("directories nested too deeply"));
    }

    #[test]
    fn entries_removed_during_the_walk_are_skipped() {
        let root = tree();
        let mut walk = Walk::new(layer(root.path()), BOUNDS).unwrap();
        assert_eq!(walk.step(Duration::ZERO), Step::More);
        for directory in 0..20 {
            fs::remove_dir_all(root.path().join(directory.to_string())).unwrap();
        }
        fs::write(root.path().join("0"), "a file in its place").unwrap();
        assert!(matches!(to_the_end(&mut walk, Duration::from_secs(1)).0, Step::Done(_)));
    }
}
