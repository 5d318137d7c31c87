//! Facts about this kernel that `glassbox check` reports.

use std::path::Path;

/// What to do about EPERM.
pub const REMEDY_PRIVILEGES: &str =
    "needs CAP_BPF and CAP_PERFMON: run as root, or under systemd with AmbientCapabilities";

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

/// Capabilities that the agent uses and this process lacks.
#[must_use]
pub fn missing_capabilities(proc_root: &Path) -> Vec<&'static str> {
    // Bit numbers: include/uapi/linux/capability.h. Before 5.8 CAP_SYS_ADMIN stood for the first two.
    const USED: [(u32, &str); 4] =
        [(39, "CAP_BPF"), (38, "CAP_PERFMON"), (19, "CAP_SYS_PTRACE"), (2, "CAP_DAC_READ_SEARCH")];
    let status = std::fs::read_to_string(proc_root.join("self/status")).unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    USED.iter().filter(|(bit, _)| bits >> bit & 1 == 0).map(|&(_, name)| name).collect()
}
