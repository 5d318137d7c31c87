//! Facts about this kernel and this process' namespaces that `glassbox check` reports.

use std::path::Path;

/// The kernel's release, such as `6.1.0-56-cloud-amd64`.
#[must_use]
pub fn release(proc_root: &Path) -> String {
    let path = proc_root.join("sys/kernel/osrelease");
    std::fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

/// The host's name; empty if procfs does not tell.
#[must_use]
pub fn name(proc_root: &Path) -> String {
    let path = proc_root.join("sys/kernel/hostname");
    std::fs::read_to_string(path).map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

/// The lockdown mode in force: `none`, `integrity`, `confidentiality`, or `not supported`. `confidentiality` forbids
/// programs to read kernel memory.
#[must_use]
pub fn lockdown() -> String {
    let Ok(text) = std::fs::read_to_string("/sys/kernel/security/lockdown") else {
        return "not supported".into();
    };
    let active = text.split(['[', ']']).nth(1);
    active.unwrap_or("unknown").to_owned()
}

/// True if this process is in the kernel's first namespace of that kind: `cgroup`, `pid` or `user`. False also if procfs
/// does not tell.
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

/// True if the procfs at `proc_root` belongs to this process's own PID namespace, so that process ids mean the same
/// there. Also true if it does not say (before 4.1, or without PID namespaces).
#[must_use]
pub fn shares_process_ids(proc_root: &Path) -> bool {
    let status = std::fs::read_to_string(proc_root.join("self/status")).unwrap_or_default();
    // One id for each namespace, from the procfs's own down to the process's.
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.is_none_or(|ids| ids.split_ascii_whitespace().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_namespaces_are_known_by_their_inode() {
        let directory = tempfile::tempdir().unwrap();
        let namespaces = directory.path().join("self/ns");
        std::fs::create_dir_all(&namespaces).unwrap();
        let link = |kind: &str, inode: u32| {
            let path = namespaces.join(kind);
            let _ = std::fs::remove_file(&path);
            std::os::unix::fs::symlink(format!("{kind}:[{inode}]"), path).unwrap();
        };
        for (kind, first) in [("cgroup", 4_026_531_835), ("pid", 4_026_531_836), ("user", 4_026_531_837)] {
            assert!(!is_in_first_namespace(directory.path(), kind), "no such link");
            link(kind, first);
            assert!(is_in_first_namespace(directory.path(), kind), "{kind}");
            link(kind, 4_026_532_000);
            assert!(!is_in_first_namespace(directory.path(), kind), "{kind}");
        }
    }
}
