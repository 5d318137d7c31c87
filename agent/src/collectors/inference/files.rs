//! Open model files of a process, and how far they have been read, from `/proc/PID/fd` and `/proc/PID/fdinfo`. Only texts
//! of the kernel are read, never the files; their sizes come from their inodes.

use std::{
    ffi::CString,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Read as _,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use super::names;

/// Maximum number of descriptors of one process that are looked at.
const DESCRIPTORS_MAX: usize = 1024;
/// Maximum number of open model files of one container that are followed.
pub(super) const FILES_MAX: usize = 64;
/// More than the first two lines of `fdinfo`.
const POSITION_BYTES: usize = 64;

/// An open file: process, descriptor and a hash of the path, because a descriptor may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OpenFile {
    process: u32,
    descriptor: u32,
    path: u64,
}

/// How far an open file has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) position_bytes: u64,
    /// `None` if it is unknown.
    pub(super) size_bytes: Option<u64>,
}

impl OpenFile {
    #[cfg(test)]
    pub(super) const fn of(descriptor: u32) -> Self {
        Self { process: 1, descriptor, path: 0 }
    }

    /// The process ID.
    pub(super) const fn process(self) -> u32 {
        self.process
    }
}

/// Appends the model files that a process has open for reading only: one that is downloaded or saved is not loaded. A process
/// or file that is gone is skipped.
pub(super) fn open_models(proc_root: &Path, process: &str, found: &mut Vec<(OpenFile, Extent)>) {
    let (directory, Ok(number)) = (proc_root.join(process), process.parse()) else { return };
    let Ok(entries) = fs::read_dir(directory.join("fd")) else { return };
    for entry in entries.flatten().take(DESCRIPTORS_MAX) {
        if found.len() >= FILES_MAX {
            return;
        }
        let name = entry.file_name();
        let Some(descriptor) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.as_os_str().as_bytes();
        if !target.starts_with(b"/") || !names::is_model(names::file_name(target)) {
            continue;
        }
        let mut hasher = DefaultHasher::new();
        target.hash(&mut hasher);
        if let Some(position_bytes) = position(&directory.join("fdinfo").join(&name)) {
            let size_bytes = cached_size(&entry.path());
            let file = OpenFile { process: number, descriptor, path: hasher.finish() };
            found.push((file, Extent { position_bytes, size_bytes }));
        }
    }
}

/// The size of a file as the kernel knows it: the file system is not asked for a newer one, because it may not respond.
/// (NFS may be asked nevertheless.)
fn cached_size(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path is a C string, and the structure is valid for writes.
    let error =
        unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, libc::STATX_SIZE, found.as_mut_ptr()) };
    // SAFETY: it consists of numbers, for which zeros are valid.
    let found = unsafe { found.assume_init() };
    (error == 0 && found.stx_mask & libc::STATX_SIZE != 0).then_some(found.stx_size)
}

/// The position in `fdinfo`, if the file is open for reading only. The first two lines are `pos: N`, and `flags: N` in octal.
fn position(path: &Path) -> Option<u64> {
    let mut text = [0; POSITION_BYTES];
    let length = File::open(path).ok()?.read(&mut text).ok()?;
    parse(text.get(..length)?)
}

fn parse(text: &[u8]) -> Option<u64> {
    let mut lines = std::str::from_utf8(text).ok()?.lines();
    let position = lines.next()?.strip_prefix("pos:")?.trim().parse().ok()?;
    let flags = i32::from_str_radix(lines.next()?.strip_prefix("flags:")?.trim(), 8).ok()?;
    (flags & libc::O_ACCMODE == libc::O_RDONLY).then_some(position)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn open_models_of_a_process_have_their_positions() {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("7");
        for directory in ["fd", "fdinfo"] {
            fs::create_dir_all(process.join(directory)).unwrap();
        }
        for (descriptor, target, info) in [
            ("3", "/models/a.onnx", "pos:\t4096\nflags:\t0100000\n"),
            ("4", "/models/b.gguf (deleted)", "pos:\t7\nflags:\t02100000\n"),
            ("5", "/models/a.txt", "pos:\t1\nflags:\t0100000\n"),
            ("6", "socket:[1.onnx]", "pos:\t1\nflags:\t0100000\n"),
            ("7", "/models/c.onnx", "pos:\t-1\nflags:\t0100000\n"),
            ("8", "/models/d.onnx", ""),
            ("x", "/models/e.onnx", "pos:\t1\nflags:\t0100000\n"),
            ("10", "/models/download.onnx", "pos:\t1\nflags:\t0100001\n"),
            ("11", "/models/saved.pt", "pos:\t1\nflags:\t02100002\n"),
            ("12", "/models/g.onnx", "pos:\t1\n"),
        ] {
            symlink(target, process.join("fd").join(descriptor)).unwrap();
            fs::write(process.join("fdinfo").join(descriptor), info).unwrap();
        }
        symlink("/models/f.onnx", process.join("fd/9")).unwrap();
        let mut found = Vec::new();
        open_models(proc.path(), "7", &mut found);
        open_models(proc.path(), "8", &mut found);
        open_models(proc.path(), "../7", &mut found);
        let mut positions: Vec<_> =
            found.iter().map(|(file, extent)| (file.descriptor, extent.position_bytes)).collect();
        positions.sort_unstable();
        assert_eq!(positions, [(3, 4096), (4, 7)]);
    }

    #[test]
    fn the_number_of_files_is_limited() {
        let proc = tempfile::tempdir().unwrap();
        for directory in ["fd", "fdinfo"] {
            fs::create_dir_all(proc.path().join("7").join(directory)).unwrap();
        }
        for descriptor in 0..2 * FILES_MAX {
            let name = descriptor.to_string();
            symlink("/a.onnx", proc.path().join("7/fd").join(&name)).unwrap();
            fs::write(proc.path().join("7/fdinfo").join(&name), "pos:\t0\nflags:\t0100000\n").unwrap();
        }
        let mut found = Vec::new();
        open_models(proc.path(), "7", &mut found);
        assert_eq!(found.len(), FILES_MAX);
    }

    #[test]
    fn the_position_of_an_own_file_is_read_from_the_real_proc() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own.onnx");
        fs::write(&path, [0; 2000]).unwrap();
        let (mut file, written) =
            (File::open(&path).unwrap(), File::options().write(true).open(&path).unwrap());
        file.read_exact(&mut [0; 1000]).unwrap();
        std::os::unix::fs::FileExt::write_at(&written, &[1], 0).unwrap();
        let mut found = Vec::new();
        open_models(Path::new("/proc"), &std::process::id().to_string(), &mut found);
        let extent = |position_bytes| Extent { position_bytes, size_bytes: Some(2000) };
        let own =
            found.iter().map(|(_, found)| *found).filter(|found| [extent(0), extent(1000)].contains(found));
        assert_eq!(own.collect::<Vec<_>>(), [extent(1000)], "{found:?}");
    }
}
