//! Checks the kernel: release, BTF, lockdown and cgroups.

use super::{Report, RowState};
use crate::{
    config::Config,
    containers::cgroup::{self, Layout, Mode},
    kernel::{host, offsets},
};

/// Release, BTF and lockdown.
pub(super) fn check(report: &mut Report, config: &Config) {
    report.ok("kernel", host::release(&config.paths.proc));
    btf(report, config);
    match host::lockdown().as_str() {
        "confidentiality" if config.kernel.enabled => {
            let finding =
                "confidentiality: eBPF programs may not read kernel memory; boot with lockdown=integrity";
            report.row("lockdown", RowState::Degraded, finding);
        }
        mode => report.ok("lockdown", mode),
    }
}

fn btf(report: &mut Report, config: &Config) {
    let path = config.kernel.btf.display();
    if !config.kernel.enabled {
        return report.row("BTF", RowState::Off, format!("{path}: not needed (kernel.enabled = false)"));
    }
    match offsets::read(&config.kernel.btf).and_then(|blob| offsets::resolve(&blob)) {
        Ok(offsets) => {
            let mut absent = Vec::new();
            offsets.each(|field, offset| {
                if offset == glassbox_ebpf::offsets::ABSENT {
                    absent.push(field);
                }
            });
            // The rows of the probes show which programs need an absent field.
            report.ok(
                "BTF",
                match absent.as_slice() {
                    [] => format!("{path}: all fields found"),
                    absent => format!("{path}: fields not found: {}", absent.join(", ")),
                },
            );
        }
        Err(error) => report.row("BTF", RowState::Degraded, format!("{error:#}")),
    }
}

/// The layout of the cgroup tree; `None` if there is none.
pub(super) fn cgroups(report: &mut Report, config: &Config) -> Option<Layout> {
    let layout = match Layout::detect(&config.paths.cgroup) {
        Ok(layout) => layout,
        Err(error) => {
            report.row("cgroups", RowState::Fatal, format!("{error:#}"));
            return None;
        }
    };
    let root = config.paths.cgroup.display();
    let mode = layout.mode().as_str();
    match cgroup::walk(&layout) {
        Ok(walk) => {
            let found = walk.found.iter().filter(|cgroup| cgroup.own).count();
            if is_part(&layout) {
                let finding = format!(
                    "{mode} at {root} shows only part of the host's cgroup tree, {found} containers; all other \
                     containers are missing: start with --cgroupns=host (Docker), or mount the host's /sys/fs/cgroup \
                     and set paths.cgroup to it"
                );
                report.row("cgroups", RowState::Degraded, finding);
            } else {
                report.ok("cgroups", format!("{mode} at {root}, {found} containers"));
            }
        }
        Err(error) => report.row("cgroups", RowState::Degraded, format!("{error:#}")),
    }
    Some(layout)
}

/// True if the top of the mount is not the root of the hierarchy. Some files exist only in the root, others only
/// elsewhere.
fn is_part(layout: &Layout) -> bool {
    let top = layout.primary("/");
    match layout.mode() {
        Mode::V1 => top.join("tasks").exists() && !top.join("release_agent").exists(),
        Mode::V2 | Mode::Hybrid => top.join("cgroup.type").exists() || top.join("cgroup.events").exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_mount_that_shows_only_part_of_the_tree_is_detected() {
        let directory = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(directory.path().join(name), "").unwrap();
        touch("cgroup.controllers");
        let config = Config {
            paths: config::Paths { cgroup: directory.path().to_owned(), ..config::Paths::default() },
            ..Config::default()
        };
        let checked = || {
            let mut report = Report::default();
            cgroups(&mut report, &config).unwrap();
            (report.rows()[0].state, report.rows()[0].finding.clone())
        };
        assert_eq!(checked().0, RowState::Ok);
        touch("cgroup.events");
        let (state, finding) = checked();
        assert_eq!(state, RowState::Degraded);
        assert!(finding.contains("--cgroupns=host"), "{finding}");
    }
}
