//! Usage and limit of a layer's project, as the filesystem accounts for them. ext4 and XFS account for projects if they
//! are mounted with `prjquota`. Docker (`--storage-opt size=`), Podman and CRI-O give each container's layer its own
//! project with a limit, and statfs on a directory in a project with a limit reports the project instead of the
//! filesystem. This needs no privilege. Querying a project without a limit needs CAP_SYS_ADMIN and Linux 5.14.
//!
//! Cost: two to five system calls per layer, which normally do not read the disk.

use std::{io, os::fd::AsRawFd as _};

use crate::containers::directory::Directory;

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

/// `FS_IOC_FSGETXATTR`: `_IOR('X', 31, struct fsxattr)`.
const GET_ATTRIBUTES: u64 = 2 << 30 | (size_of::<Attributes>() as u64) << 16 | (b'X' as u64) << 8 | 31;
/// `FS_XFLAG_PROJINHERIT`: new files in the directory belong to its project.
const INHERITED: u32 = 0x200;
/// `QCMD(Q_GETQUOTA, PRJQUOTA)` of linux/quota.h.
const GET_QUOTA: u32 = 0x80_0007 << 8 | 2;
/// The unit of limits.
const QUOTA_BLOCK_BYTES: u64 = 1024;
/// A layer's own project starts at the layer or at its parent directory, which also contains the overlay's work
/// directory.
const OWN_DIRECTORIES: usize = 2;
/// Maximum number of parent directories that are examined.
const ABOVE_MAX: usize = 64;

/// `struct if_dqblk` of linux/quota.h.
#[repr(C)]
#[derive(Default)]
struct Quota {
    hard_limit_blocks: u64,
    soft_limit_blocks: u64,
    used_bytes: u64,
    inodes_hard_limit: u64,
    inodes_soft_limit: u64,
    inodes: u64,
    blocks_time: u64,
    inodes_time: u64,
    valid: u32,
}

/// Usage and limit of a layer's project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Bytes used.
    pub(super) used_bytes: Option<u64>,
    /// The limit, in bytes.
    pub(super) limit_bytes: Option<u64>,
}

/// Result of statfs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    total_bytes: u64,
    free_bytes: u64,
}

/// The account of a layer; `None` if it has no project of its own, or if nothing reports on the project.
pub(super) fn account(layer: &Directory) -> io::Result<Option<Account>> {
    let Some(project) = project(layer) else {
        return Ok(None);
    };
    let mut whole = None;
    let mut above = layer.parent()?;
    for distance in 1..=ABOVE_MAX {
        let Some(directory) = above.take() else { break };
        let inherited = self::project(&directory);
        if inherited == Some(project) && distance >= OWN_DIRECTORIES {
            return Ok(None); // Other directories share the project.
        }
        if inherited.is_none() {
            whole = Some(space(&directory)?);
            break;
        }
        above = directory.parent()?;
    }
    let by_statfs = whole.and_then(|whole| Some(judge(space(layer).ok()?, whole)));
    match by_statfs.unwrap_or_default() {
        account @ Account { used_bytes: Some(_), .. } => Ok(Some(account)),
        account => match quota(layer, project) {
            Some(quota) => Ok(Some(quota)),
            None => Ok(account.limit_bytes.map(|_| account)),
        },
    }
}

/// The project that new files in the directory belong to.
fn project(directory: &Directory) -> Option<u32> {
    let mut attributes = Attributes::default();
    // SAFETY: the request writes one structure of this layout, which is valid during the call.
    let result = unsafe {
        libc::ioctl(directory.file().as_raw_fd(), GET_ATTRIBUTES as libc::Ioctl, &raw mut attributes)
    };
    let has = result == 0 && attributes.flags & INHERITED != 0 && attributes.project != 0;
    has.then_some(attributes.project)
}

fn space(directory: &Directory) -> io::Result<Space> {
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the call writes the structure, which is valid during the call.
    if unsafe { libc::fstatvfs(directory.file().as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the structure is initialized.
    let stat = unsafe { stat.assume_init() };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Space { total_bytes: bytes(stat.f_blocks), free_bytes: bytes(stat.f_bfree) })
}

/// Derives the project's account by comparing statfs of a layer with statfs of the whole filesystem.
fn judge(layer: Space, whole: Space) -> Account {
    if layer.total_bytes >= whole.total_bytes {
        return Account::default();
    }
    // If the filesystem has less free space than the project, ext4 reports that of the filesystem.
    let of_project = layer.free_bytes < whole.free_bytes;
    let used_bytes = layer.total_bytes.checked_sub(layer.free_bytes).filter(|_| of_project);
    Account { used_bytes, limit_bytes: Some(layer.total_bytes) }
}

/// The account from quotactl, if the agent is privileged to call it.
fn quota(layer: &Directory, project: u32) -> Option<Account> {
    let mut quota = Quota::default();
    // SAFETY: the command writes one structure of this layout, which is valid during the call.
    let result = unsafe {
        libc::syscall(libc::SYS_quotactl_fd, layer.file().as_raw_fd(), GET_QUOTA, project, &raw mut quota)
    };
    if result != 0 {
        return None;
    }
    let limit =
        [quota.soft_limit_blocks, quota.hard_limit_blocks].into_iter().filter(|limit| *limit > 0).min();
    Some(Account {
        used_bytes: Some(quota.used_bytes),
        limit_bytes: limit.map(|blocks| blocks.saturating_mul(QUOTA_BLOCK_BYTES)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn space(total_bytes: u64, free_bytes: u64) -> Space {
        Space { total_bytes, free_bytes }
    }

    #[test]
    fn a_layer_with_a_smaller_total_than_its_filesystem_has_a_limit() {
        let account = judge(space(10 * GIB, 7 * GIB), space(100 * GIB, 50 * GIB));
        assert_eq!(account, Account { used_bytes: Some(3 * GIB), limit_bytes: Some(10 * GIB) });
        let full = judge(space(10 * GIB, 0), space(100 * GIB, 50 * GIB));
        assert_eq!(full, Account { used_bytes: Some(10 * GIB), limit_bytes: Some(10 * GIB) });
    }

    #[test]
    fn the_totals_of_the_filesystem_are_not_an_account_of_the_layer() {
        assert_eq!(judge(space(100 * GIB, 50 * GIB), space(100 * GIB, 50 * GIB)), Account::default());
    }

    #[test]
    fn on_an_almost_full_filesystem_the_usage_is_absent() {
        // The project has 9 GiB left, but the filesystem only 2 GiB.
        let account = judge(space(10 * GIB, 2 * GIB), space(100 * GIB, 2 * GIB));
        assert_eq!(account, Account { used_bytes: None, limit_bytes: Some(10 * GIB) });
        let account = judge(space(10 * GIB, 0), space(100 * GIB, 0));
        assert_eq!(account, Account { used_bytes: None, limit_bytes: Some(10 * GIB) });
        // No filesystem reports more free space than total space.
        assert_eq!(judge(space(GIB, 2 * GIB), space(100 * GIB, 50 * GIB)).used_bytes, None);
    }

    #[test]
    fn the_requests_match_the_kernel_headers() {
        assert_eq!((GET_ATTRIBUTES, size_of::<Attributes>()), (0x801c_581f, 28));
        assert_eq!((GET_QUOTA, size_of::<Quota>()), (0x8000_0702, 72));
    }

    #[test]
    fn a_directory_without_a_project_has_no_account() {
        let directory = tempfile::tempdir().unwrap();
        let host = Directory::host_root(std::path::Path::new("/nowhere")).unwrap();
        let layer = host.on_host(directory.path()).unwrap();
        assert_eq!(account(&layer).unwrap(), None);
    }
}
