//! The private directories of a sandbox. An empty filesystem is mounted over each, and entries that daemons only read are
//! bound back into it. Everything is prepared before the fork, because only system calls are allowed after it.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::check;

/// Directories that are empty in a sandbox: sockets, locks and state of the host's daemons.
const EMPTY: [&str; 3] = ["/run", "/var/lib", "/dev/shm"];
/// The directory that keeps its entries except [`HIDDEN`].
const SETTINGS: &str = "/etc";
/// Entries of [`SETTINGS`] that daemons read as their configuration, or create.
const HIDDEN: [&str; 3] = ["docker", "containerd", "cni"];
const SYSCTL: &CStr = c"/proc/sys";
/// The part of [`SYSCTL`] that belongs to the network namespace.
const NETWORK_SYSCTL: &CStr = c"/proc/sys/net";

/// All covered directories.
pub(super) struct Covers {
    empty: Vec<CString>,
    settings: CString,
    /// A temporary mount point of the host's `/etc`, from which entries are bound back.
    scratch: CString,
    entries: Vec<Entry>,
}

struct Entry {
    from: CString,
    to: CString,
    kind: Kind,
}

enum Kind {
    MetadataStore,
    File,
    Link(CString),
}

impl Covers {
    pub(super) fn new(scratch: &Path) -> io::Result<Self> {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
        let host = scratch.join("etc");
        fs::create_dir(&host)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(SETTINGS)? {
            let entry = entry?;
            let name = entry.file_name();
            if HIDDEN.iter().any(|hidden| name == *hidden) {
                continue;
            }
            let kind = entry.file_type()?;
            let kind = if kind.is_dir() {
                Kind::MetadataStore
            } else if kind.is_symlink() {
                Kind::Link(text(&fs::read_link(entry.path())?)?)
            } else {
                Kind::File
            };
            let (from, to) = (host.join(&name), Path::new(SETTINGS).join(&name));
            entries.push(Entry { from: text(&from)?, to: text(&to)?, kind });
        }
        let empty = EMPTY.iter().map(PathBuf::from).filter(|path| path.is_dir() && !path.is_symlink());
        Ok(Self {
            empty: empty.map(|path| text(&path)).collect::<io::Result<_>>()?,
            settings: text(Path::new(SETTINGS))?,
            scratch: text(&host)?,
            entries,
        })
    }

    /// Mounts the covers. Must be called in a new mount namespace.
    pub(super) fn mount(&self) -> io::Result<()> {
        // Mounts of the host propagate into the sandbox, but not the other way.
        mount(None, c"/", libc::MS_REC | libc::MS_SLAVE, None)?;
        for metadata in &self.empty {
            cover(metadata)?;
        }
        mount(Some(&self.settings), &self.scratch, libc::MS_BIND | libc::MS_REC, None)?;
        cover(&self.settings)?;
        // Fails for entries that have been removed meanwhile. No daemon needs those.
        self.entries.iter().for_each(|entry| drop(entry.bind()));
        // SAFETY: a C string that outlives the call.
        check(unsafe { libc::umount2(self.scratch.as_ptr(), libc::MNT_DETACH) })?;
        let read_only = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        mount(Some(SYSCTL), SYSCTL, libc::MS_BIND, None)?;
        mount(None, SYSCTL, read_only, None)?;
        mount(Some(NETWORK_SYSCTL), NETWORK_SYSCTL, libc::MS_BIND, None)?;
        mount(None, NETWORK_SYSCTL, libc::MS_BIND | libc::MS_REMOUNT, None)
    }
}

impl Entry {
    fn bind(&self) -> io::Result<()> {
        // SAFETY: C strings that outlive the calls.
        unsafe {
            match &self.kind {
                Kind::Link(target) => return check(libc::symlink(target.as_ptr(), self.to.as_ptr())),
                Kind::MetadataStore => check(libc::mkdir(self.to.as_ptr(), 0o755))?,
                Kind::File => check(libc::mknod(self.to.as_ptr(), libc::S_IFREG | 0o644, 0))?,
            }
        }
        mount(Some(&self.from), &self.to, libc::MS_BIND | libc::MS_REC, None)
    }
}

/// Mounts an empty filesystem over a directory.
fn cover(directory: &CStr) -> io::Result<()> {
    mount(Some(c"tmpfs"), directory, libc::MS_NOSUID | libc::MS_NODEV, Some(c"tmpfs"))
}

fn mount(source: Option<&CStr>, at: &CStr, flags: libc::c_ulong, kind: Option<&CStr>) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: null pointers or C strings that outlive the call; no data.
    check(unsafe { libc::mount(pointer(source), at.as_ptr(), pointer(kind), flags, std::ptr::null()) })
}
