//! Checks capabilities and namespaces of this process: what is missing, the consequences, and how to fix it.

use std::path::Path;

use super::{Report, RowState};
use crate::{
    collectors::COLLECTORS,
    config::Config,
    containers::cgroup::{CgroupNamespace, Layout},
    kernel::{
        host,
        privileges::{BPF, Capability, DAC_READ_SEARCH, NET_ADMIN, PERFMON, Privileges, SYS_PTRACE},
    },
};

/// Capabilities that are used independently of the enabled collectors.
const ALWAYS: [&Capability; 3] = [&BPF, &PERFMON, &DAC_READ_SEARCH];

/// Makes the row `privileges` and one row per namespace.
pub(super) fn check(report: &mut Report, config: &Config) -> Privileges {
    let privileges = Privileges::of_this_process(&config.paths.proc);
    let wanted = wanted(config);
    match privileges.lack(&wanted) {
        None => {
            let names: Vec<_> = wanted.iter().map(|capability| capability.name).collect();
            report.ok("privileges", names.join(", "));
        }
        Some(lack) => {
            let mut costs: Vec<&str> = Vec::new();
            for capability in wanted.iter().filter(|capability| !privileges.has(capability)) {
                if !costs.contains(&capability.cost) {
                    costs.push(capability.cost);
                }
            }
            report.row("privileges", RowState::Degraded, format!("{lack} ({})", costs.join("; ")));
        }
    }
    // Later errors of the kernel contain the same text, and then refer to this row.
    for subset in [&[&BPF, &PERFMON][..], &[&NET_ADMIN], &[&SYS_PTRACE]] {
        if let Some(lack) = privileges.lack(subset) {
            report.cause(&lack, "privileges");
        }
    }
    let layout = Layout::detect(&config.paths.cgroup).ok();
    let own = layout.map(|layout| CgroupNamespace::of_this_process(&config.paths.proc, &layout));
    namespaces(report, &config.paths.proc, own.as_ref().and_then(CgroupNamespace::root));
    privileges
}

/// The capabilities that this configuration uses.
fn wanted(config: &Config) -> Vec<&'static Capability> {
    let is_usable = |capability: &&Capability| config.kernel.enabled || !capability.is_for_programs;
    // A collector does not start without a capability for kernel programs, and then does not use the others either.
    let of_collectors = COLLECTORS
        .iter()
        .filter(|spec| config.is_on(spec.name) && spec.capabilities.iter().all(&is_usable))
        .flat_map(|spec| spec.capabilities);
    let used: Vec<_> =
        ALWAYS.iter().filter(|capability| is_usable(capability)).chain(of_collectors).collect();
    [&BPF, &PERFMON, &SYS_PTRACE, &DAC_READ_SEARCH, &NET_ADMIN]
        .into_iter()
        .filter(|capability| used.contains(&capability))
        .collect()
}

/// `own_cgroup` is the agent's cgroup if it is in a cgroup namespace and the host's tree contains it.
fn namespaces(report: &mut Report, proc_root: &Path, own_cgroup: Option<&str>) {
    for (kind, cost) in [
        (
            "pid",
            "processes of containers are not visible, and the agent's own activity is counted as a container's; set \
             hostPID: true (Kubernetes) or --pid=host (Docker)",
        ),
        (
            "cgroup",
            "paths in /proc/PID/cgroup are relative to the agent's own cgroup, which is not in the host's cgroup tree, so \
             processes on GPUs cannot be matched to containers; mount /sys/fs/cgroup of the host, or use --cgroupns=host \
             (Docker) or privileged: true (Kubernetes)",
        ),
        ("user", "its capabilities are not valid on the host; run glassbox outside of rootless containers"),
    ] {
        let subject = format!("{kind} namespace");
        if host::is_in_first_namespace(proc_root, kind) {
            report.ok(&subject, "the host's");
        } else if let ("cgroup", Some(own)) = (kind, own_cgroup) {
            report.ok(&subject, format!("the agent's own; paths are converted from {own}"));
        } else {
            report.row(subject, RowState::Degraded, format!("not the host's: {cost}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_capability_that_the_configuration_does_not_use_is_not_reported_as_missing() {
        let names = |config: &Config| wanted(config).iter().map(|cap| cap.name).collect::<Vec<_>>();
        assert!(names(&Config::default()).contains(&"CAP_NET_ADMIN"));
        let off = Config {
            collectors: config::Collectors::without(&["host_network", "sockets"]),
            ..Config::default()
        };
        assert!(!names(&off).contains(&"CAP_NET_ADMIN"));
        let off = config::Collectors::without(&["network", "nvml", "disk"]);
        let off = Config { collectors: off, ..Config::default() };
        assert!(names(&off).contains(&"CAP_SYS_PTRACE"), "host_network looks up network namespaces");
        let off = config::Collectors::without(&["host_network", "network", "nvml", "disk", "threads"]);
        let off = Config { collectors: off, ..Config::default() };
        assert!(!names(&off).contains(&"CAP_SYS_PTRACE"));
        let off = Config {
            kernel: config::Kernel { enabled: false, ..config::Kernel::default() },
            ..Config::default()
        };
        assert_eq!(names(&off), ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    }

    #[test]
    fn a_namespace_other_than_the_host_s_is_degraded() {
        let directory = tempfile::tempdir().unwrap();
        let links = directory.path().join("self/ns");
        std::fs::create_dir_all(&links).unwrap();
        for (kind, inode) in [("pid", 4_026_531_836_u32), ("cgroup", 4_026_532_111), ("user", 4_026_531_837)]
        {
            std::os::unix::fs::symlink(format!("{kind}:[{inode}]"), links.join(kind)).unwrap();
        }
        let mut report = Report::default();
        namespaces(&mut report, directory.path(), None);
        let states: Vec<_> = report.rows().iter().map(|row| (row.subject.as_str(), row.state)).collect();
        assert_eq!(
            states,
            [
                ("pid namespace", RowState::Ok),
                ("cgroup namespace", RowState::Degraded),
                ("user namespace", RowState::Ok)
            ]
        );
        assert!(report.rows()[1].finding.contains("--cgroupns=host"));
        let mut report = Report::default();
        namespaces(&mut report, directory.path(), Some("/kubepods/pod1"));
        assert_eq!(report.rows()[1].state, RowState::Ok);
        assert!(report.rows()[1].finding.contains("/kubepods/pod1"));
    }
}
