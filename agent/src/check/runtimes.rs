//! Checks the sources of container metadata: the sockets of the runtimes, and the files that runtimes write.

use std::{io, os::unix::net::UnixStream, path::Path};

use super::{Report, RowState};
use crate::{
    config::Config,
    containers::runtimes,
    kernel::privileges::{DAC_READ_SEARCH, Privileges},
};

/// Makes one row per existing socket, one per runtime without a socket, and the row `names in files`.
pub(super) fn check(report: &mut Report, config: &Config, privileges: &Privileges) {
    let default = Config::default();
    match config.docker.socket() {
        None => report.row("docker", RowState::Off, "switched off (docker.enabled = false)"),
        Some(path) => socket(report, "docker", path, default.docker.socket() != Some(path)),
    }
    for (subject, sockets, usual) in [
        ("docker", config.docker.extra_sockets(), default.docker.extra_sockets()),
        ("podman", &config.podman.sockets, &default.podman.sockets),
        ("containerd", &config.containerd.sockets, &default.containerd.sockets),
        ("cri", &config.cri.sockets, &default.cri.sockets),
    ] {
        let named = sockets != usual;
        let (there, missing): (Vec<_>, Vec<_>) =
            sockets.iter().partition(|path| named || runtimes::is_there(path));
        there.iter().for_each(|path| socket(report, subject, path, named));
        if there.is_empty() && !missing.is_empty() {
            report.row(subject, RowState::NotApplicable, absent(&missing));
        } else if sockets.is_empty() && named {
            report.row(subject, RowState::Off, format!("switched off ({subject}.sockets = [])"));
        }
    }
    files(report, config, privileges);
}

fn absent(sockets: &[&impl AsRef<Path>]) -> String {
    let paths: Vec<_> = sockets.iter().map(|path| path.as_ref().display().to_string()).collect();
    format!("no socket at {}; the agent connects as soon as there is one", paths.join(", "))
}

/// Makes the row of one socket. If it is `named` in the configuration, a missing socket is degraded.
fn socket(report: &mut Report, subject: &str, path: &Path, named: bool) {
    match UnixStream::connect(path) {
        Ok(_) => report.ok(subject, format!("{} accepts connections", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => {
            report.row(subject, RowState::NotApplicable, absent(&[&path]));
        }
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => "run as root, or in the group that owns the socket",
                io::ErrorKind::NotFound => {
                    "start the runtime, or mount its socket if the agent is in a container"
                }
                _ => "is the runtime running?",
            };
            let finding = format!(
                "{}: {error}; its containers are named from files, or shown by ID; {remedy}",
                path.display()
            );
            report.row(subject, RowState::Degraded, finding);
        }
    }
}

fn files(report: &mut Report, config: &Config, privileges: &Privileges) {
    const SUBJECT: &str = "names in files";
    let (there, unreadable) = (config.paths.there(), config.paths.unreadable());
    let list = |paths: &[std::path::PathBuf]| {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        paths.join(", ")
    };
    if !unreadable.is_empty() {
        let remedy = privileges.lack(&[&DAC_READ_SEARCH]).unwrap_or_else(|| {
            "check whether a security module (AppArmor, SELinux) denies access".to_owned()
        });
        let finding = format!(
            "permission denied: {}; containers that no socket reports are shown by ID; {remedy}",
            list(&unreadable)
        );
        report.row(SUBJECT, RowState::Degraded, finding);
    } else if there.is_empty() {
        report.row(SUBJECT, RowState::NotApplicable, "no directory of [paths] exists");
    } else {
        report.ok(SUBJECT, format!("{}, for containers that no socket reports", list(&there)));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config;

    fn rows(config: &Config) -> Vec<(String, RowState, String)> {
        let mut report = Report::default();
        check(&mut report, config, &Privileges::of_this_process(&config.paths.proc));
        report.rows().iter().map(|row| (row.subject.clone(), row.state, row.finding.clone())).collect()
    }

    #[test]
    fn a_socket_that_the_configuration_names_must_exist() {
        let config = Config {
            docker: config::Docker { socket: "/nowhere/docker.sock".into(), ..config::Docker::default() },
            podman: config::Podman { sockets: vec!["/nowhere/podman.sock".into()] },
            cri: config::Cri { sockets: Vec::new() },
            ..Config::default()
        };
        let rows = rows(&config);
        let state = |subject: &str| rows.iter().find(|(name, ..)| name == subject).unwrap().1;
        assert_eq!(state("docker"), RowState::Degraded);
        assert_eq!(state("podman"), RowState::Degraded);
        assert_eq!(state("cri"), RowState::Off);
    }

    #[test]
    fn missing_directories_are_not_reported_as_unreadable() {
        let nowhere = PathBuf::from("/nowhere");
        let mut config = Config::default();
        config.paths.docker.clone_from(&nowhere);
        config.paths.containerd.clone_from(&nowhere);
        config.paths.containers_storage.clone_from(&nowhere);
        config.paths.logs = nowhere;
        let rows = rows(&config);
        let (_, state, finding) = rows.last().unwrap();
        assert_eq!(*state, RowState::NotApplicable, "{finding}");
    }
}
