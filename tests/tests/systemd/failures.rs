//! What systemd does if the agent hangs or has a wrong configuration.

use std::{fs, process::Command};

use super::service::{self, CONFIGURATION, Service};

#[test]
fn a_stopped_process_is_restarted_by_the_watchdog() {
    let Some(service) = Service::installed("a_stopped_process_is_restarted_by_the_watchdog") else { return };
    // The unit has 90 s. An emulated CPU sometimes needs seconds for a tick.
    service.start("WatchdogSec=20s");
    let stopped = service.pid();
    // SAFETY: no pointers; the process is a service of this guest.
    assert_eq!(unsafe { libc::kill(stopped, libc::SIGSTOP) }, 0);
    service::wait("systemd has restarted the agent", || {
        service::property("NRestarts") == "1" && service::property("ActiveState") == "active"
    });
    assert_ne!(service.pid(), stopped);
    assert!(service::journal().contains("Watchdog timeout"), "{}", service::journal());
    assert!(service.metrics().of("glassbox_build_info", &[]).next().is_some());
}

#[test]
fn an_invalid_configuration_is_in_the_journal_and_not_retried() {
    let Some(service) = Service::installed("an_invalid_configuration_is_in_the_journal_and_not_retried")
    else {
        return;
    };
    fs::write(CONFIGURATION, "# a comment\ntick_sm = 1000\n").unwrap();
    let started = Command::new("systemctl").args(["start", "glassbox"]).status().unwrap();
    assert!(!started.success());
    assert_eq!(service::property("ExecMainStatus"), "78");
    assert_eq!(service::property("ActiveState"), "failed", "it waits for a restart");
    assert_eq!(service::property("NRestarts"), "0");
    let journal = service::journal();
    let names_it =
        |line: &str| line.contains(CONFIGURATION) && line.contains('2') && line.contains("tick_sm");
    assert!(journal.lines().any(names_it), "{journal}");
    // The remedy that the unit's comment names.
    fs::write(CONFIGURATION, "tick_ms = 1000\n").unwrap();
    service.start("");
}

#[test]
fn reload_reads_the_configuration_again() {
    let Some(service) = Service::installed("reload_reads_the_configuration_again") else { return };
    service.start("");
    let pid = service.pid();
    fs::write(CONFIGURATION, "tick_ms = 2000\n[containers]\nkeep_ended_s = 7\n").unwrap();
    service::run("systemctl", &["reload", "glassbox"]);
    service::wait("the journal has the changes", || {
        let journal = service::journal();
        journal.contains("changed containers.keep_ended_s")
            && journal.contains("restart the agent to apply these changed keys: tick_ms")
    });
    assert_eq!(service::property("ActiveState"), "active");
    assert_eq!(service.pid(), pid, "the agent was restarted");
}

#[test]
fn the_environment_file_adds_flags() {
    let Some(service) = Service::installed("the_environment_file_adds_flags") else { return };
    fs::write("/etc/default/glassbox", "ARGS=\"--listen 127.0.0.1:9968 --log warn\"\n").unwrap();
    service.start("");
    assert!(service::metrics(9968).of("glassbox_build_info", &[]).next().is_some());
}
