//! Installs, upgrades and purges the .deb, and checks the service.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::service::{self, CONFIGURATION, FILES, property};

/// Roots of what a package could leave behind.
const ROOTS: [&str; 5] = ["/etc", "/usr", "/var", "/run", "/tmp"];

fn dpkg(arguments: &[&str]) {
    service::run("dpkg", &[&["--no-triggers"], arguments].concat());
}

/// Installed version, state of the service, and whether it starts at boot.
fn state() -> [String; 3] {
    let query = ["--show", "--showformat", "${db:Status-Status} ${Version}", "glassbox"];
    let version = Command::new("dpkg-query").args(query).output().unwrap();
    let enabled = Command::new("systemctl").args(["is-enabled", "glassbox"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    [text(&version.stdout), property("ActiveState"), text(&enabled.stdout)]
}

/// Purges the package when dropped.
struct Purged;

impl Drop for Purged {
    fn drop(&mut self) {
        let _ = Command::new("dpkg").args(["--purge", "glassbox"]).output();
    }
}

/// Files with the agent's name, except those of these tests and of the journal.
fn files() -> BTreeSet<String> {
    let found = service::run(
        "find",
        &[&ROOTS[..], &["-ignore_readdir_race", "-xdev", "-name", "*glassbox*"]].concat(),
    );
    let is_other = |path: &&str| !path.contains("/glassbox-tests") && !path.starts_with("/var/log/journal");
    found.lines().filter(is_other).map(str::to_owned).collect()
}

#[test]
fn the_package_starts_restarts_and_removes_the_service() {
    let Some(_alone) = service::alone("the_package_starts_restarts_and_removes_the_service") else { return };
    service::change("");
    let before = files();
    let _purged = Purged;
    let [old, new] = ["old", "new"].map(|name| format!("{FILES}/{name}.deb"));

    dpkg(&["--install", &old]);
    assert_eq!(state(), ["installed 0.0.1~rc1-1", "active", "enabled"]);
    let first = property("MainPID");
    assert!(service::metrics(9966).of("glassbox_build_info", &[]).next().is_some());
    let check = Command::new("glassbox").arg("health").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));

    // A user's change and the environment file survive an upgrade, and apply after it.
    fs::write(CONFIGURATION, "tick_ms = 2000\n").unwrap();
    fs::write("/etc/default/glassbox", "ARGS=--listen=127.0.0.1:9968\n").unwrap();
    dpkg(&["--force-confold", "--install", &new]);
    assert_eq!(state(), ["installed 0.0.1-1", "active", "enabled"]);
    assert_ne!(property("MainPID"), first, "the upgrade has not restarted the agent");
    assert!(service::metrics(9968).of("glassbox_build_info", &[]).next().is_some());

    // What an administrator has disabled stays disabled.
    service::run("systemctl", &["disable", "--now", "glassbox"]);
    dpkg(&["--install", &new]);
    assert_eq!(state()[1..], ["inactive", "disabled"]);

    service::run("systemctl", &["enable", "--now", "glassbox"]);
    dpkg(&["--remove", "glassbox"]);
    assert_eq!(state()[..2], ["config-files 0.0.1-1", "inactive"]);
    assert!(Path::new(CONFIGURATION).exists());
    dpkg(&["--purge", "glassbox"]);
    service::run("systemctl", &["daemon-reload"]);
    let left: Vec<_> = files().difference(&before).cloned().collect();
    assert!(left.is_empty(), "{left:#?}");
    assert!(!Path::new("/etc/glassbox").exists());
}
