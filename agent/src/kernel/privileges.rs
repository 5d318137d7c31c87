//! The capabilities of this process: what does not work without each one, and how to get it. The remedy depends on how
//! the process was started; for example, the advice for root in a container is not to run as root.

use std::path::{Path, PathBuf};

/// A capability that the agent uses.
#[derive(Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name, for example `CAP_BPF`.
    pub name: &'static str,
    /// What does not work without it.
    pub cost: &'static str,
    /// True if it is useful only with kernel programs.
    pub is_for_programs: bool,
    /// Bits, any one of which is enough: include/uapi/linux/capability.h. CAP_SYS_ADMIN includes CAP_BPF and
    /// CAP_PERFMON.
    bits: &'static [u32],
}

/// Load kernel programs and create their maps.
pub static BPF: Capability = Capability {
    name: "CAP_BPF",
    cost: "no kernel programs: no scheduler, NVIDIA driver or socket metrics, OOM kills may be undercounted",
    is_for_programs: true,
    bits: &[39, 21],
};
/// Read kernel memory from kernel programs, and attach them.
pub static PERFMON: Capability =
    Capability { name: "CAP_PERFMON", cost: BPF.cost, is_for_programs: true, bits: &[38, 21] };
/// Read files in `/proc/PID` of other users' processes.
pub static SYS_PTRACE: Capability = Capability {
    name: "CAP_SYS_PTRACE",
    cost: "no network metrics, and disk usage only if a Kubernetes runtime reports it",
    is_for_programs: false,
    bits: &[19],
};
/// Read files regardless of their mode.
pub static DAC_READ_SEARCH: Capability = Capability {
    name: "CAP_DAC_READ_SEARCH",
    cost: "files of other users with a restrictive mode are not read",
    is_for_programs: false,
    // CAP_DAC_OVERRIDE, which Docker grants by default, includes it.
    bits: &[2, 1],
};
/// Attach programs to cgroups, to count packets and connections.
pub static NET_ADMIN: Capability = Capability {
    name: "CAP_NET_ADMIN",
    cost: "no metrics of sockets, requests and health, and no traffic metrics of containers on the host network",
    is_for_programs: true,
    bits: &[12],
};

/// Measure the run time of kernel programs, query quotas, and on some distributions open perf events. Optional.
pub static SYS_ADMIN: Capability = Capability {
    name: "CAP_SYS_ADMIN",
    cost: "run time of kernel programs only while kernel.bpf_stats_enabled is set, no disk usage under project quotas \
           without a limit, no hooks on the NVIDIA driver on Debian and Ubuntu",
    is_for_programs: false,
    bits: &[21],
};
/// Connect to the sockets of other users' runtimes. Optional.
pub static DAC_OVERRIDE: Capability = Capability {
    name: "CAP_DAC_OVERRIDE",
    cost: "no names from the runtimes' sockets that belong to other users",
    is_for_programs: false,
    bits: &[1],
};
/// Listen on a port below 1024. Optional, because the kernel may permit the port to everyone.
pub static NET_BIND_SERVICE: Capability = Capability {
    name: "CAP_NET_BIND_SERVICE",
    cost: "the agent cannot listen on a port below 1024",
    is_for_programs: false,
    bits: &[10],
};

/// What started this process. It determines how capabilities are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Launcher {
    Kubernetes,
    Container,
    Systemd,
    Shell,
}

impl Capability {
    /// The bit of a set that gives this capability; 0 if there is none.
    #[must_use]
    pub fn bits_held(&self, set: u64) -> u64 {
        self.bits.iter().map(|bit| 1 << bit).find(|mask| set & mask != 0).unwrap_or(0)
    }
}

/// The capabilities of this process.
#[derive(Clone, Debug)]
pub struct Privileges {
    effective: u64,
    bounding: u64,
    is_root: bool,
    is_in_first_user_namespace: bool,
    launcher: Launcher,
}

impl Privileges {
    /// Reads the capabilities of the calling thread, because capabilities belong to threads, and how the process was
    /// started, from procfs and the environment.
    #[must_use]
    pub fn of_this_process(proc_root: &Path) -> Self {
        let status = std::fs::read_to_string(proc_root.join("thread-self/status")).unwrap_or_default();
        let mask = |name: &str| {
            let hex = status.lines().find_map(|line| line.strip_prefix(name));
            hex.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
        };
        Self {
            effective: mask("CapEff:"),
            bounding: mask("CapBnd:"),
            // SAFETY: geteuid takes no arguments and cannot fail.
            is_root: unsafe { libc::geteuid() } == 0,
            is_in_first_user_namespace: super::host::is_in_first_namespace(proc_root, "user"),
            launcher: launcher(proc_root),
        }
    }

    /// True if this process has the capability and the capability counts on the host.
    #[must_use]
    pub fn has(&self, capability: &Capability) -> bool {
        self.is_in_first_user_namespace && within(self.effective, capability)
    }

    /// Names the capabilities of `wanted` that are missing, and how to get them. `None` if none is missing.
    #[must_use]
    pub fn lack(&self, wanted: &[&'static Capability]) -> Option<String> {
        let missing: Vec<_> = wanted.iter().copied().filter(|capability| !self.has(capability)).collect();
        if missing.is_empty() {
            return None;
        }
        let names: Vec<_> = missing.iter().map(|capability| capability.name).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        Some(format!("{} {verb} missing; {}", names.join(", "), self.remedy(&missing)))
    }

    /// Like [`lack`](Self::lack), with the consequences.
    #[must_use]
    pub fn lack_with_costs(&self, wanted: &[&'static Capability]) -> Option<String> {
        let lack = self.lack(wanted)?;
        let mut costs: Vec<&str> = Vec::new();
        for capability in wanted.iter().filter(|capability| !self.has(capability)) {
            if !costs.contains(&capability.cost) {
                costs.push(capability.cost);
            }
        }
        Some(format!("{lack} ({})", costs.join("; ")))
    }

    /// Why the kernel refused to load or attach a program with EPERM or EACCES.
    #[must_use]
    pub fn refusal(&self) -> String {
        self.lack(&[&BPF, &PERFMON]).unwrap_or_else(|| {
            "not permitted although CAP_BPF and CAP_PERFMON are present; check whether a seccomp profile, a security \
             module or kernel lockdown forbids bpf(2)"
                .to_owned()
        })
    }

    fn remedy(&self, missing: &[&'static Capability]) -> String {
        if !self.is_in_first_user_namespace {
            return "this process is in a user namespace, and capabilities in it do not count on the host: run \
                    glassbox as root on the host, not in a rootless container"
                .to_owned();
        }
        let names = |separator: &str| {
            let names: Vec<_> = missing.iter().map(|capability| capability.name).collect();
            names.join(separator)
        };
        let short: Vec<_> =
            missing.iter().map(|capability| capability.name.trim_start_matches("CAP_")).collect();
        let can_be_had = missing.iter().all(|capability| within(self.bounding, capability));
        match self.launcher {
            Launcher::Kubernetes => {
                let user = if self.is_root { "" } else { "runAsUser: 0 and " };
                format!("set {user}capabilities.add: [{}] in the securityContext", short.join(", "))
            }
            Launcher::Container => {
                let user = if self.is_root { "" } else { " --user 0" };
                format!("start the container with{user} --cap-add {}", short.join(" --cap-add "))
            }
            Launcher::Systemd => format!(
                "add {} to CapabilityBoundingSet= of the unit{}",
                names(" "),
                if self.is_root { "" } else { ", and to AmbientCapabilities=" }
            ),
            Launcher::Shell if can_be_had && !self.is_root => {
                "run as root, or under the systemd unit".to_owned()
            }
            Launcher::Shell if can_be_had => {
                "this process runs as root, but without root's capabilities: start glassbox from an ordinary root \
                 shell, or under the systemd unit"
                    .to_owned()
            }
            Launcher::Shell => {
                "the bounding set of this process excludes them, even for root: start glassbox under the systemd unit, \
                 or from a shell that is not confined"
                    .to_owned()
            }
        }
    }
}

fn within(mask: u64, capability: &Capability) -> bool {
    capability.bits_held(mask) != 0
}

fn launcher(proc_root: &Path) -> Launcher {
    let set = |name: &str| std::env::var_os(name).is_some();
    let marks = ["/.dockerenv", "/run/.containerenv"].map(PathBuf::from);
    if set("KUBERNETES_SERVICE_HOST") {
        Launcher::Kubernetes
    } else if marks.iter().any(|mark| mark.exists())
        || !super::host::is_in_first_namespace(proc_root, "cgroup")
    {
        Launcher::Container
    } else if set("JOURNAL_STREAM") && set("INVOCATION_ID") {
        Launcher::Systemd
    } else {
        Launcher::Shell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;
    const NONE: u64 = 0;

    fn privileges(launcher: Launcher, is_root: bool, bounding: u64) -> Privileges {
        Privileges { effective: NONE, bounding, is_root, is_in_first_user_namespace: true, launcher }
    }

    #[test]
    fn the_remedy_depends_on_how_the_process_was_started() {
        for (launcher, is_root, bounding, remedy) in [
            (Launcher::Shell, false, ALL, "run as root"),
            (Launcher::Shell, true, NONE, "bounding set"),
            (Launcher::Shell, true, ALL, "ordinary root shell"),
            (Launcher::Container, true, NONE, "start the container with --cap-add BPF --cap-add PERFMON"),
            (Launcher::Container, false, NONE, "--user 0 --cap-add BPF --cap-add PERFMON"),
            (Launcher::Kubernetes, true, NONE, "set capabilities.add: [BPF, PERFMON] in the securityContext"),
            (Launcher::Kubernetes, false, NONE, "set runAsUser: 0 and capabilities.add: [BPF, PERFMON]"),
            (Launcher::Systemd, true, NONE, "add CAP_BPF CAP_PERFMON to CapabilityBoundingSet= of the unit"),
            (Launcher::Systemd, false, NONE, "AmbientCapabilities="),
        ] {
            let text = privileges(launcher, is_root, bounding).lack(&[&BPF, &PERFMON]).unwrap();
            assert!(text.starts_with("CAP_BPF, CAP_PERFMON are missing; "), "{text}");
            assert!(text.contains(remedy), "{launcher:?}: {text}");
            assert!(!(is_root && text.contains("run as root")), "{text}");
        }
    }

    #[test]
    fn only_missing_capabilities_are_named() {
        let mut privileges = privileges(Launcher::Shell, false, ALL);
        privileges.effective = 1 << 39 | 1 << 19;
        let text = privileges.lack(&[&BPF, &PERFMON, &SYS_PTRACE]).unwrap();
        assert!(text.starts_with("CAP_PERFMON is missing; "), "{text}");
        assert_eq!(privileges.lack(&[&BPF, &SYS_PTRACE]), None);
        // CAP_SYS_ADMIN includes both.
        privileges.effective = 1 << 21;
        assert_eq!(privileges.lack(&[&BPF, &PERFMON]), None);
        assert!(privileges.refusal().contains("seccomp"));
    }

    #[test]
    fn capabilities_in_a_user_namespace_do_not_count() {
        let mut privileges = privileges(Launcher::Container, true, ALL);
        privileges.effective = ALL;
        privileges.is_in_first_user_namespace = false;
        let text = privileges.lack(&[&BPF]).unwrap();
        assert!(text.contains("user namespace") && !text.contains("--cap-add"), "{text}");
    }
}
