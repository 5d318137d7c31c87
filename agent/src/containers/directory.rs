//! Opens directories of the host, and finds device nodes of containers, by paths from untrusted sources: never beyond the
//! root, and never through a symbolic link in the last component.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
        },
    },
    path::Path,
};

/// `struct open_how` of linux/openat2.h (from Linux 5.6 on).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// An open directory.
#[derive(Debug)]
pub struct Directory(File);

impl Directory {
    /// The host's root as process 1 sees it, because the agent may run in a container; otherwise the agent's own root.
    pub fn host_root(proc_root: &Path) -> io::Result<Self> {
        File::open(proc_root.join("1/root")).or_else(|_| File::open("/")).map(Self)
    }

    /// The root of a process, which is that of its container. Needs CAP_SYS_PTRACE. The filesystem is not called.
    pub fn process_root(proc_root: &Path, process: &str) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        OpenOptions::new().read(true).custom_flags(flags).open(proc_root.join(process).join("root")).map(Self)
    }

    /// The major and minor number of a character device below this root, without opening it. `None` if there is none.
    ///
    /// From Linux 5.12 on, only what the kernel has in memory is searched, so a filesystem that does not respond does not
    /// block the caller. Device nodes on a tmpfs and mount points always are in memory.
    ///
    /// # Errors
    /// If the path cannot be searched, for a reason other than that nothing is there.
    pub fn character_device(&self, path: &Path) -> io::Result<Option<(u32, u32)>> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
        let opened = match self.openat2(&path, flags, resolve | libc::RESOLVE_CACHED) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.openat2(&path, flags, resolve),
            opened => opened,
        };
        match opened {
            Ok(Self(file)) => {
                let metadata = file.metadata()?;
                let number = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
                Ok(metadata.file_type().is_char_device().then_some(number))
            }
            // EAGAIN: not in memory.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EAGAIN)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a directory by its path on the host. This directory is the host's root, and symbolic links are resolved
    /// within it.
    pub fn on_host(&self, path: &Path) -> io::Result<Self> {
        self.open(path, libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS)
    }

    /// Opens a directory below this one, on the same filesystem and through no symbolic link.
    pub fn below(&self, path: &Path) -> io::Result<Self> {
        self.open(path, libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV)
    }

    fn open(&self, path: &Path, resolve: u64) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOATIME;
        // O_NOATIME is allowed only for the owner of a file and fails with EPERM for everyone else.
        match self.openat2(&path, flags, resolve) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                self.openat2(&path, flags & !libc::O_NOATIME, resolve)
            }
            opened => opened,
        }
    }

    fn openat2(&self, path: &CString, flags: i32, resolve: u64) -> io::Result<Self> {
        let how = OpenHow { flags: u64::from(flags.unsigned_abs()), mode: 0, resolve };
        // SAFETY: the path and the structure are valid during the call, and the size is that of the structure.
        let descriptor = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                self.0.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<OpenHow>(),
            )
        };
        Self::owning(descriptor)
    }

    /// The parent directory, if it is on the same filesystem.
    pub fn parent(&self) -> io::Result<Option<Self>> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path is a constant C string.
        let descriptor = unsafe { libc::openat(self.0.as_raw_fd(), c"..".as_ptr(), flags) };
        let parent = Self::owning(descriptor.into())?;
        let (ours, theirs) = (self.0.metadata()?, parent.0.metadata()?);
        Ok((ours.dev() == theirs.dev() && ours.ino() != theirs.ino()).then_some(parent))
    }

    fn owning(descriptor: i64) -> io::Result<Self> {
        let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just returned this descriptor, so it has no other owner.
        Ok(Self(unsafe { File::from_raw_fd(descriptor) }))
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// The device number of its filesystem, as in `st_dev`.
    pub fn device(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.dev())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn host() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("data/layer/deep")).unwrap();
        fs::write(root.path().join("data/file"), "").unwrap();
        let directory = Directory(File::open(root.path()).unwrap());
        (root, directory)
    }

    #[test]
    fn symbolic_links_are_resolved_within_the_host_root() {
        let (root, host) = host();
        symlink("/data", root.path().join("docker")).unwrap();
        symlink("../../../../../..", root.path().join("up")).unwrap();
        let ino = |directory: &Directory| directory.file().metadata().unwrap().ino();
        let layer = host.on_host(Path::new("/data/layer")).unwrap();
        assert_eq!(ino(&host.on_host(Path::new("/docker/layer")).unwrap()), ino(&layer));
        assert_eq!(ino(&host.on_host(Path::new("/up/../data/layer")).unwrap()), ino(&layer));
        assert_eq!(ino(&layer.parent().unwrap().unwrap()), ino(&host.on_host(Path::new("data")).unwrap()));
    }

    #[test]
    fn only_directories_are_opened() {
        let (root, host) = host();
        symlink("layer", root.path().join("data/link")).unwrap();
        for path in ["/data/file", "/data/link", "/nowhere", "", "/data/\0"] {
            assert!(host.on_host(Path::new(path)).is_err(), "{path:?}");
        }
        let data = host.on_host(Path::new("/data")).unwrap();
        assert!(data.below(Path::new("layer/deep")).is_ok());
        for path in ["..", "/data", "link", "link/deep", "layer/../.."] {
            assert!(data.below(Path::new(path)).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_device_is_found_below_the_root_only_and_is_not_opened() {
        let (root, _) = host();
        let own = Directory::process_root(Path::new("/proc"), "self").unwrap();
        assert_eq!(own.character_device(Path::new("/dev/null")).unwrap(), Some((1, 3)));
        assert_eq!(own.character_device(Path::new("/dev/nothing")).unwrap(), None);
        assert_eq!(own.character_device(Path::new("/dev")).unwrap(), None, "a directory");
        symlink("/dev/null", root.path().join("data/link")).unwrap();
        symlink("/dev", root.path().join("dev")).unwrap();
        let host = Directory(File::open(root.path()).unwrap());
        for path in ["data/link", "dev/null", "../../../dev/null", "data/file/null"] {
            assert!(!matches!(host.character_device(Path::new(path)), Ok(Some(_))), "{path}");
        }
        assert!(Directory::process_root(Path::new("/proc"), "0").is_err());
    }

    #[test]
    fn the_root_of_a_filesystem_has_no_parent() {
        let top = Directory(File::open("/proc").unwrap());
        assert!(top.parent().unwrap().is_none());
        let root = Directory(File::open("/").unwrap());
        assert!(root.parent().unwrap().is_none());
    }
}
