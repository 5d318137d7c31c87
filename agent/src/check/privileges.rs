//! Checks capabilities and namespaces of this process: what is missing, the consequences, and how to fix it.

use std::path::Path;

use super::{Report, RowState};
use crate::{
    config::Config,
    containers::cgroup::{CgroupNamespace, Layout},
    kernel::{
        host,
        privileges::{BPF, NET_ADMIN, PERFMON, Privileges, SYS_PTRACE},
    },
    sandbox::capabilities,
};

/// Makes the row `privileges` and one row per namespace.
pub(super) fn check(report: &mut Report, config: &Config) -> Privileges {
    let privileges = Privileges::of_this_process(&config.paths.proc);
    let wanted = capabilities::required(config);
    match privileges.lack_with_costs(&wanted) {
        None => {
            let names: Vec<_> = wanted.iter().map(|capability| capability.name).collect();
            report.ok("privileges", names.join(", "));
        }
        Some(lack) => report.row("privileges", RowState::Degraded, lack),
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
