//! Facts about this kernel and this process that `glassbox check` reports.

use std::path::Path;

/// What to do about EPERM.
pub const REMEDY_PRIVILEGES: &str =
    "needs CAP_BPF and CAP_PERFMON: run as root, or under systemd with AmbientCapabilities";

/// A capability that the agent uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its number: include/uapi/linux/capability.h.
    pub bit: u32,
    /// Its name.
    pub name: &'static str,
    /// What is missing without it.
    pub costs: &'static str,
}

/// Loads kernel programs. Before 5.8 CAP_SYS_ADMIN stood for it and for CAP_PERFMON.
pub const CAP_BPF: Capability = Capability {
    bit: 39,
    name: "CAP_BPF",
    costs: "all kernel programs: scheduler, driver and host network metrics, OOM kills as they happen",
};
/// Lets kernel programs read kernel memory.
pub const CAP_PERFMON: Capability = Capability { bit: 38, name: "CAP_PERFMON", ..CAP_BPF };
/// Attaches programs to the sockets of a cgroup.
pub const CAP_NET_ADMIN: Capability = Capability {
    bit: 12,
    name: "CAP_NET_ADMIN",
    costs: "host_network: traffic of containers in the host's network",
};
/// Reads namespaces and mounts of other processes.
pub const CAP_SYS_PTRACE: Capability = Capability {
    bit: 19,
    name: "CAP_SYS_PTRACE",
    costs: "network, host_network, and sizes of writable layers (disk)",
};
/// Reads files and directories of other users.
pub const CAP_DAC_READ_SEARCH: Capability = Capability {
    bit: 2,
    name: "CAP_DAC_READ_SEARCH",
    costs: "names in files of other users, and sizes of writable layers (disk)",
};
/// All of them.
pub const CAPABILITIES: [Capability; 5] =
    [CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];

/// Stood for CAP_BPF and CAP_PERFMON before 5.8, and still includes them.
const CAP_SYS_ADMIN_BIT: u32 = 21;

/// The kernel's release, such as `6.1.0-56-cloud-amd64`.
#[must_use]
pub fn release(proc_root: &Path) -> String {
    let path = proc_root.join("sys/kernel/osrelease");
    std::fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
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

/// True where this process sees host process ids: inside another pid namespace, its own id is not the kernel's, and
/// the agent could not leave itself out of the counts.
#[must_use]
pub fn in_first_pid_namespace(proc_root: &Path) -> bool {
    // PROC_PID_INIT_INO, include/linux/proc_ns.h
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link(proc_root.join("self/ns/pid")).is_ok_and(|link| link.as_os_str() == FIRST)
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

/// True if the calling thread has the capability in its effective set.
#[must_use]
pub fn has_capability(capability: Capability) -> bool {
    let held = effective_capabilities();
    let includes = [CAP_BPF.bit, CAP_PERFMON.bit].contains(&capability.bit);
    held >> capability.bit & 1 != 0 || (includes && held >> CAP_SYS_ADMIN_BIT & 1 != 0)
}

/// Capabilities that the agent uses and the calling thread lacks.
#[must_use]
pub fn missing_capabilities() -> Vec<Capability> {
    CAPABILITIES.into_iter().filter(|capability| !has_capability(*capability)).collect()
}

/// The effective set of the calling thread, a bit for each; none if the kernel does not tell.
fn effective_capabilities() -> u64 {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = Header { version: VERSION_3, pid: 0 };
    // Effective, permitted and inheritable, of the low and of the high 32 capabilities.
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: both pointers are to live structures of the layout that capget(2) describes for version 3.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut sets) };
    if result == 0 { u64::from(sets[1][0]) << 32 | u64::from(sets[0][0]) } else { 0 }
}
