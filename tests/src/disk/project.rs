//! Project quotas, set as container runtimes set them, and the kernel's usage of a project.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::Path,
};

use super::Filesystem;

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

const GET_ATTRIBUTES: u64 = 0x801c_581f;
const SET_ATTRIBUTES: u64 = 0x401c_5820;
const INHERITED: u32 = 0x200;
/// `QCMD(…, PRJQUOTA)` of linux/quota.h.
const SET_QUOTA: u32 = 0x80_0008 << 8 | 2;
const GET_QUOTA: u32 = 0x80_0007 << 8 | 2;
const LIMITS_ARE_VALID: u32 = 1;
const QUOTA_BLOCK_BYTES: u64 = 1024;

/// Assigns everything that is created in the directory from now on to a project.
///
/// # Errors
/// If the filesystem refuses.
pub fn begin(directory: &Path, project: u32) -> io::Result<()> {
    let file = File::open(directory)?;
    let mut attributes = Attributes::default();
    // SAFETY: the requests read and write one structure of this layout, which outlives both calls.
    unsafe {
        if libc::ioctl(file.as_raw_fd(), GET_ATTRIBUTES as libc::Ioctl, &raw mut attributes) != 0 {
            return Err(io::Error::last_os_error());
        }
        attributes.flags |= INHERITED;
        attributes.project = project;
        if libc::ioctl(file.as_raw_fd(), SET_ATTRIBUTES as libc::Ioctl, &raw const attributes) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Limits a project to a number of bytes.
///
/// # Errors
/// If the filesystem refuses.
pub fn limit(filesystem: &Filesystem, project: u32, bytes: u64) -> io::Result<()> {
    // SAFETY: an all-zero quota is valid.
    let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
    quota.dqb_bhardlimit = bytes / QUOTA_BLOCK_BYTES;
    quota.dqb_bsoftlimit = quota.dqb_bhardlimit;
    quota.dqb_valid = LIMITS_ARE_VALID;
    ask(filesystem, SET_QUOTA, project, &mut quota)
}

/// The usage of a project, in bytes.
///
/// # Panics
/// If the filesystem does not report it.
#[must_use]
pub fn used_bytes(filesystem: &Filesystem, project: u32) -> u64 {
    // SAFETY: an all-zero quota is valid.
    let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
    ask(filesystem, GET_QUOTA, project, &mut quota)
        .unwrap_or_else(|error| panic!("ask for a quota: {error}"));
    quota.dqb_curspace
}

fn ask(filesystem: &Filesystem, command: u32, project: u32, quota: &mut libc::dqblk) -> io::Result<()> {
    let device = CString::new(filesystem.disk().path().as_os_str().as_bytes())?;
    let project = project.cast_signed();
    // SAFETY: the string and the structure outlive the call.
    let result = unsafe {
        libc::quotactl(command.cast_signed(), device.as_ptr(), project, std::ptr::from_mut(quota).cast())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
