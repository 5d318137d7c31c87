//! The part of the FUSE protocol (linux/fuse.h, 7.31) that a directory with four files needs, which answer `ioctl`.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, IoSlice, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::Path,
};

use super::super::abi::bytes::{put_u32, put_u64, u32_at, u64_at};

/// Its name in /proc/self/mounts.
const SOURCE: &str = "glassbox-fake-nvidia";

pub(super) const LOOKUP: u32 = 1;
pub(super) const FORGET: u32 = 2;
pub(super) const GETATTR: u32 = 3;
pub(super) const OPEN: u32 = 14;
pub(super) const RELEASE: u32 = 18;
pub(super) const INIT: u32 = 26;
pub(super) const OPENDIR: u32 = 27;
pub(super) const READDIR: u32 = 28;
pub(super) const RELEASEDIR: u32 = 29;
pub(super) const INTERRUPT: u32 = 36;
pub(super) const DESTROY: u32 = 38;
pub(super) const IOCTL: u32 = 39;
pub(super) const POLL: u32 = 40;
pub(super) const BATCH_FORGET: u32 = 42;

/// The node of the directory.
pub(super) const ROOT: u64 = 1;
/// The files. Their node numbers start at 2.
pub(super) const FILES: [&str; 4] = ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1"];

/// The longest request: an ioctl with the largest struct that a word can describe. The kernel needs more than its header
/// plus the largest write.
pub(super) const BUFFER_BYTES: usize = 64 << 10;
const HEADER_BYTES: usize = 40;
/// Names and attributes never change.
const VALID_S: u64 = 1 << 31;

/// A request of the kernel.
pub(super) struct Incoming<'a> {
    pub(super) opcode: u32,
    pub(super) unique: u64,
    pub(super) node: u64,
    /// The waiting thread.
    pub(super) thread: i32,
    pub(super) body: &'a [u8],
}

/// The connection to the kernel of a mounted filesystem.
pub(super) struct Connection {
    device: File,
}

impl Connection {
    pub(super) fn mount(at: &Path) -> io::Result<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let (at, options, source) = (path(at)?, CString::new(options)?, CString::new(SOURCE)?);
        // SAFETY: all are C strings that outlive the call.
        let mounted = unsafe {
            libc::mount(
                source.as_ptr(),
                at.as_ptr(),
                c"fuse".as_ptr(),
                libc::MS_NOSUID | libc::MS_NOEXEC,
                options.as_ptr().cast(),
            )
        };
        if mounted == 0 { Ok(Self { device }) } else { Err(io::Error::last_os_error()) }
    }

    /// The next request; `None` after the last one.
    pub(super) fn next<'a>(&self, buffer: &'a mut [u8]) -> Option<Incoming<'a>> {
        let length = loop {
            match (&self.device).read(buffer) {
                Ok(length) => break length,
                // ENOENT: the request was interrupted before it was read.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT | libc::EAGAIN)) => {}
                Err(_) => return None,
            }
        };
        let request = buffer.get(..length)?;
        Some(Incoming {
            opcode: u32_at(request, 4),
            unique: u64_at(request, 8),
            node: u64_at(request, 16),
            thread: u32_at(request, 32).cast_signed(),
            body: request.get(HEADER_BYTES..)?,
        })
    }

    /// Answers a request. If the caller has gone, the kernel drops the answer.
    pub(super) fn answer(&self, unique: u64, error: i32, parts: [&[u8]; 2]) {
        let length = 16 + parts[0].len() + parts[1].len();
        let mut header = [0; 16];
        put_u32(&mut header, 0, length as u32);
        put_u32(&mut header, 4, error.cast_unsigned());
        put_u64(&mut header, 8, unique);
        let slices = [IoSlice::new(&header), IoSlice::new(parts[0]), IoSlice::new(parts[1])];
        drop((&self.device).write_vectored(&slices));
    }

    pub(super) fn fail(&self, unique: u64, error: i32) {
        self.answer(unique, -error, [&[], &[]]);
    }

    /// Answers an ioctl with its return value and the struct.
    pub(super) fn answer_ioctl(&self, unique: u64, result: i32, out: &[u8]) {
        let mut head = [0; 16];
        put_u32(&mut head, 0, result.cast_unsigned());
        self.answer(unique, 0, [&head, out]);
    }
}

/// Ends the filesystem: pending requests fail, and open files become useless.
pub(super) fn unmount(at: &Path) -> io::Result<()> {
    let at = path(at)?;
    // SAFETY: a C string that outlives the call.
    let result =
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Unmounts filesystems of servers that were killed. `stat` fails on those only.
pub(super) fn sweep() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines().filter(|line| line.starts_with(SOURCE)) {
        let Some(at) = line.split(' ').nth(1).map(Path::new) else { continue };
        let dead = fs::metadata(at).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN));
        if dead && unmount(at).is_ok() {
            // Fails unless the directory is empty; a user may have named one with files.
            drop(fs::remove_dir(at));
        }
    }
}

fn path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// `fuse_init_out`: this protocol, no read-ahead, small writes.
pub(super) fn init_out() -> [u8; 64] {
    let mut out = [0; 64];
    put_u32(&mut out, 0, 7);
    put_u32(&mut out, 4, 31);
    put_u32(&mut out, 20, 4096);
    out
}

/// `fuse_attr_out`
pub(super) fn attr_out(node: u64) -> [u8; 104] {
    let mut out = [0; 104];
    put_u64(&mut out, 0, VALID_S);
    put_attr(&mut out, 16, node);
    out
}

/// `fuse_entry_out`
pub(super) fn entry_out(node: u64) -> [u8; 128] {
    let mut out = [0; 128];
    put_u64(&mut out, 0, node);
    put_u64(&mut out, 16, VALID_S);
    put_u64(&mut out, 24, VALID_S);
    put_attr(&mut out, 40, node);
    out
}

fn put_attr(out: &mut [u8], at: usize, node: u64) {
    put_u64(out, at, node);
    put_u32(out, at + 60, if node == ROOT { libc::S_IFDIR | 0o755 } else { libc::S_IFREG | 0o666 });
    put_u32(out, at + 64, 1);
    put_u32(out, at + 80, 4096);
}

/// `fuse_open_out`: the file's number, without a cache.
pub(super) fn open_out(file: u64) -> [u8; 16] {
    let mut out = [0; 16];
    put_u64(&mut out, 0, file);
    put_u32(&mut out, 8, 1);
    out
}

/// The directory's entries as `fuse_dirent`, from an offset.
pub(super) fn entries(offset: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, name) in (0_u64..).zip(FILES).skip(offset as usize) {
        let mut entry = vec![0; (24 + name.len()).next_multiple_of(8)];
        put_u64(&mut entry, 0, index + 2);
        put_u64(&mut entry, 8, index + 1);
        put_u32(&mut entry, 16, name.len() as u32);
        put_u32(&mut entry, 20, 8);
        super::super::abi::bytes::put(&mut entry, 24, name.as_bytes());
        out.extend(entry);
    }
    out
}
