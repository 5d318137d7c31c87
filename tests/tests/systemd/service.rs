//! The agent as a service of the guest: its files, its state in systemd, its metrics and its journal.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use glassbox_fixtures::exposition::Scrape;
use glassbox_tests::{guest, http, inapplicable};

/// The files of the repository, and the agent, in the guest.
pub(super) const FILES: &str = "/usr/lib/glassbox-tests/files";
/// Their installed paths.
const INSTALLED: [(&str, &str); 4] = [
    ("glassbox", "/usr/bin/glassbox"),
    ("glassbox.service", "/etc/systemd/system/glassbox.service"),
    ("glassbox.default", "/etc/default/glassbox"),
    ("agent.toml", CONFIGURATION),
];
/// The agent's configuration.
pub(super) const CONFIGURATION: &str = "/etc/glassbox/agent.toml";
/// Changes of the unit for one test.
const DROP_INS: &str = "/run/systemd/system/glassbox.service.d";
/// An emulated CPU that other guests share needs tens of seconds to start the agent.
const TIMEOUT: Duration = Duration::from_secs(140);

static ALONE: Mutex<()> = Mutex::new(());

/// The installed service. It is removed when dropped.
pub(super) struct Service {
    _alone: MutexGuard<'static, ()>,
}

/// Runs a program and returns its output.
pub(super) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("run {program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}{errors}", output.status);
    text
}

/// Waits until `is_so`, and fails with `what` and the journal after a timeout.
pub(super) fn wait(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "after {TIMEOUT:?} not yet: {what}\n{}", journal());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The last lines that the agent and systemd have logged about the service.
pub(super) fn journal() -> String {
    run("journalctl", &["--no-pager", "--output=cat", "--lines=100", "--unit=glassbox"])
}

/// Replaces the changes of the unit. In each case, systemd waits longer for the start on an emulated CPU.
pub(super) fn change(changes: &str) {
    fs::create_dir_all(DROP_INS).unwrap();
    fs::write(format!("{DROP_INS}/test.conf"), format!("[Service]\nTimeoutStartSec=120s\n{changes}\n"))
        .unwrap();
    run("systemctl", &["daemon-reload"]);
}

/// Lets one test run at a time. `None` after printing a skip if this is not a guest with systemd.
pub(super) fn alone(test: &str) -> Option<MutexGuard<'static, ()>> {
    if guest::has_systemd() {
        return Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    }
    inapplicable(test, "no guest with systemd, see `cargo xtask vm --systemd`");
    None
}

/// A property of the service.
pub(super) fn property(name: &str) -> String {
    run("systemctl", &["show", "--value", &format!("--property={name}"), "glassbox"]).trim().to_owned()
}

impl Service {
    /// Installs the files. `None` after printing a skip if this is not a guest with systemd.
    pub(super) fn installed(test: &str) -> Option<Self> {
        let alone = alone(test)?;
        for (name, path) in INSTALLED {
            fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
            fs::copy(format!("{FILES}/{name}"), path)
                .unwrap_or_else(|error| panic!("install {path}: {error}"));
        }
        run("systemctl", &["daemon-reload"]);
        Some(Self { _alone: alone })
    }

    /// Starts the service with changes of its unit, and waits until it is ready.
    pub(super) fn start(&self, changes: &str) {
        change(changes);
        run("systemctl", &["start", "glassbox"]);
    }

    /// The ID of the agent's process; 0 if it is not running.
    pub(super) fn pid(&self) -> i32 {
        property("MainPID").parse().unwrap()
    }

    /// The agent's metrics.
    pub(super) fn metrics(&self) -> Scrape {
        metrics(9966)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", journal());
        }
        // Also after a failed test. The next test reports what is left.
        let _ = Command::new("systemctl").args(["stop", "glassbox"]).output();
        let _ = Command::new("systemctl").args(["reset-failed", "glassbox"]).output();
        let _ = fs::remove_dir_all(DROP_INS);
        for (_, path) in INSTALLED {
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_dir_all("/etc/glassbox");
        let _ = Command::new("systemctl").arg("daemon-reload").output();
    }
}

/// True if the family has a positive value with this label.
pub(super) fn is_positive(scrape: &Scrape, family: &str, label: &str, value: &str) -> bool {
    let labels = [(label.to_owned(), value.to_owned())];
    scrape.of(family, &labels).any(|sample| sample.value > 0.0)
}

/// The metrics of the agent that listens on a port.
pub(super) fn metrics(port: u16) -> Scrape {
    let answer = http::get(SocketAddr::from(([127, 0, 0, 1], port)), "/metrics").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    Scrape::parse(&answer.body)
}
