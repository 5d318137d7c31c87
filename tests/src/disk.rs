//! Loop devices with filesystems that have project quotas, and their mounts. All are removed when dropped, even if a test
//! fails; a device is freed with its last mount.

pub mod project;

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{MetadataExt as _, OpenOptionsExt as _},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// `LOOP_*` of linux/loop.h.
const SET_FILE: u64 = 0x4c00;
const CLEAR_FILE: u64 = 0x4c01;
const SET_STATUS: u64 = 0x4c04;
const GET_FREE: u64 = 0x4c82;
/// `BLKFLSBUF` of linux/fs.h.
const FORGET_BUFFERS: u64 = 0x1261;
/// The device is freed by its last user.
const FREED_WITH_LAST_USER: u32 = 4;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct Status {
    numbers: [u64; 5],
    number: u32,
    encryption: [u32; 2],
    flags: u32,
    names: [u8; 160],
    init: [u64; 2],
}

/// A block device that is backed by a file.
pub struct Disk {
    device: File,
    path: PathBuf,
    directory: tempfile::TempDir,
}

impl Disk {
    /// Creates a device of this size.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn new(bytes: u64) -> Result<Self, String> {
        let why = |what: &str, error: io::Error| format!("{what}: {error}");
        let directory = tempfile::tempdir().map_err(|error| why("make a directory", error))?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true);
        let file = options.open(directory.path().join("disk")).map_err(|error| why("make a file", error))?;
        file.set_len(bytes).map_err(|error| why("size a file", error))?;
        let control =
            File::open("/dev/loop-control").map_err(|error| why("open /dev/loop-control", error))?;
        // Another process may take the free device first.
        for _ in 0..16 {
            // SAFETY: the request has no argument.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE as libc::Ioctl) };
            if number < 0 {
                return Err(why("find a free loop device", io::Error::last_os_error()));
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = OpenOptions::new().read(true).write(true).open(&path);
            let device = device.map_err(|error| why("open a loop device", error))?;
            // SAFETY: the argument is a descriptor that outlives the call.
            let set = unsafe { libc::ioctl(device.as_raw_fd(), SET_FILE as libc::Ioctl, file.as_raw_fd()) };
            if set != 0 {
                continue;
            }
            let disk = Self { device, path, directory };
            // SAFETY: an all-zero structure is valid and outlives the call; the kernel only reads it.
            let set = unsafe {
                let mut status: Status = std::mem::zeroed();
                status.flags = FREED_WITH_LAST_USER;
                libc::ioctl(disk.device.as_raw_fd(), SET_STATUS as libc::Ioctl, &raw const status)
            };
            return if set == 0 {
                Ok(disk)
            } else {
                Err(why("set up a loop device", io::Error::last_os_error()))
            };
        }
        Err("other processes took every free loop device".into())
    }

    /// Its path, such as `/dev/loop0`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its major and minor number, as in cgroup files.
    ///
    /// # Panics
    /// If the device is gone.
    #[must_use]
    pub fn numbers(&self) -> String {
        let device = fs::metadata(&self.path).unwrap_or_else(|error| panic!("its device: {error}")).rdev();
        format!("{}:{}", libc::major(device), libc::minor(device))
    }

    /// Opens it for direct I/O, without the page cache.
    ///
    /// # Panics
    /// If the device is gone.
    #[must_use]
    pub fn open_direct(&self) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_DIRECT);
        options.open(&self.path).unwrap_or_else(|error| panic!("open {}: {error}", self.path.display()))
    }

    /// Makes an ext4 with project quotas on it and mounts it.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn with_project_quotas(self) -> Result<Filesystem, String> {
        self.filesystem(&["-O", "quota,project", "-E", "quotatype=prjquota,lazy_itable_init=0"], "prjquota")
    }

    /// Makes an ext4 with default options on it and mounts it.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn with_ext4(self) -> Result<Filesystem, String> {
        self.filesystem(&["-E", "lazy_itable_init=0"], "")
    }

    fn filesystem(self, features: &[&str], options: &str) -> Result<Filesystem, String> {
        // On the backing file: mkfs asks a device to write zeros, which a loop device in memory cannot do and logs.
        let mut command = Command::new("mkfs.ext4");
        command.args(["-q", "-F", "-b", "4096"]).args(features).arg(self.directory.path().join("disk"));
        let made =
            command.stdin(Stdio::null()).output().map_err(|error| format!("run mkfs.ext4: {error}"))?;
        if !made.status.success() {
            return Err(format!("mkfs.ext4: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        // SAFETY: the request has no argument. The device's cached blocks are older than the file.
        unsafe { libc::ioctl(self.device.as_raw_fd(), FORGET_BUFFERS as libc::Ioctl) };
        let at = self.directory.path().join("mounted");
        fs::create_dir(&at).map_err(|error| format!("make a directory: {error}"))?;
        let mount = Mount::new("ext4", &self.path, &at, options);
        let mount = mount.map_err(|error| format!("mount an ext4 with the options {options:?}: {error}"))?;
        Ok(Filesystem { mount, disk: self })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // SAFETY: the request has no argument. A mounted device is freed with its last mount.
        unsafe { libc::ioctl(self.device.as_raw_fd(), CLEAR_FILE as libc::Ioctl) };
    }
}

/// A mounted ext4 with project quotas.
pub struct Filesystem {
    mount: Mount,
    /// Must be dropped after the mount.
    disk: Disk,
}

impl Filesystem {
    /// Its mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount.0
    }

    /// Its device.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }
}

/// A mount.
pub struct Mount(PathBuf);

impl Mount {
    fn new(kind: &str, source: &Path, at: &Path, options: &str) -> io::Result<Self> {
        let (kind, options) = (CString::new(kind)?, CString::new(options)?);
        let (source, to) =
            (CString::new(source.as_os_str().as_bytes())?, CString::new(at.as_os_str().as_bytes())?);
        // SAFETY: four C strings that outlive the call.
        let result =
            unsafe { libc::mount(source.as_ptr(), to.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        if result == 0 { Ok(Self(at.to_owned())) } else { Err(io::Error::last_os_error()) }
    }

    /// Mounts an overlay as a runtime does. `directory` must contain `diff`, the layer, and `work`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn overlay(directory: &Path) -> io::Result<Self> {
        for name in ["lower", "diff", "work", "merged"] {
            fs::create_dir(directory.join(name))?;
        }
        let path = |name: &str| directory.join(name).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("diff"), path("work"));
        Self::new("overlay", Path::new("overlay"), &directory.join("merged"), &options)
    }

    /// Its mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens its root, for a process to enter.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn open(&self) -> Root {
        Root(File::open(&self.0).unwrap_or_else(|error| panic!("open {}: {error}", self.0.display())))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Ok(path) = CString::new(self.0.as_os_str().as_bytes()) {
            // SAFETY: a C string that outlives the call.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

/// An open root directory.
pub struct Root(File);

impl Root {
    /// Its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// In a guest, loads the kernel modules for disks, filesystems and overlays. Does so once.
pub fn load_modules() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let modules = fs::read_dir(Path::new("/filesystems").join(release.trim())).into_iter().flatten();
        let mut modules: Vec<_> = modules.flatten().map(|entry| entry.path()).collect();
        modules.sort();
        for path in modules {
            let Ok(file) = File::open(&path) else { continue };
            // SAFETY: the descriptor and the constant string outlive the call.
            let loaded = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
            if loaded != 0 {
                println!("{}: {}", path.display(), io::Error::last_os_error());
            }
        }
    });
}
