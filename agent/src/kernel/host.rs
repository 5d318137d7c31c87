//! Facts about the kernel and the namespaces of this process, for `glassbox check`; the clock of the kernel programs.

use std::path::Path;

/// The kernel's release, for example `6.1.0-56-cloud-amd64`.
#[must_use]
pub fn release(proc_root: &Path) -> String {
    let path = proc_root.join("sys/kernel/osrelease");
    std::fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

/// The host's name; empty if procfs does not contain it.
#[must_use]
pub fn name(proc_root: &Path) -> String {
    let path = proc_root.join("sys/kernel/hostname");
    std::fs::read_to_string(path).map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

/// The active lockdown mode: `none`, `integrity`, `confidentiality`, or `not supported`. In `confidentiality`, programs
/// must not read kernel memory.
#[must_use]
pub fn lockdown() -> String {
    let Ok(text) = std::fs::read_to_string("/sys/kernel/security/lockdown") else {
        return "not supported".into();
    };
    let active = text.split(['[', ']']).nth(1);
    active.unwrap_or("unknown").to_owned()
}

/// True if this process is in the initial namespace of a kind: `cgroup`, `pid` or `user`. False if procfs does not have
/// that information.
#[must_use]
pub fn is_in_first_namespace(proc_root: &Path, kind: &str) -> bool {
    // PROC_*_INIT_INO, include/linux/proc_ns.h
    let inode = match kind {
        "cgroup" => 0xEFFF_FFFB_u32,
        "pid" => 0xEFFF_FFFC,
        "user" => 0xEFFF_FFFD,
        _ => return false,
    };
    std::fs::read_link(proc_root.join("self/ns").join(kind))
        .is_ok_and(|link| link.as_os_str() == format!("{kind}:[{inode}]").as_str())
}

/// True if the procfs at `proc_root` belongs to the PID namespace of this process, so that process IDs are the same
/// there. Also true if procfs does not have that information (before 4.1, or without PID namespaces).
#[must_use]
pub fn shares_process_ids(proc_root: &Path) -> bool {
    let status = std::fs::read_to_string(proc_root.join("self/status")).unwrap_or_default();
    // One ID per namespace, from that of the procfs down to that of the process.
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.is_none_or(|ids| ids.split_ascii_whitespace().count() == 1)
}

/// The time in ns of CLOCK_MONOTONIC, which the kernel programs use.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a valid timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_namespaces_are_identified_by_their_inode() {
        let directory = tempfile::tempdir().unwrap();
        let namespaces = directory.path().join("self/ns");
        std::fs::create_dir_all(&namespaces).unwrap();
        let link = |kind: &str, inode: u32| {
            let path = namespaces.join(kind);
            let _ = std::fs::remove_file(&path);
            std::os::unix::fs::symlink(format!("{kind}:[{inode}]"), path).unwrap();
        };
        for (kind, first) in [("cgroup", 4_026_531_835), ("pid", 4_026_531_836), ("user", 4_026_531_837)] {
            assert!(!is_in_first_namespace(directory.path(), kind), "{kind}: there is no link");
            link(kind, first);
            assert!(is_in_first_namespace(directory.path(), kind), "{kind}");
            link(kind, 4_026_532_000);
            assert!(!is_in_first_namespace(directory.path(), kind), "{kind}");
        }
    }
}
