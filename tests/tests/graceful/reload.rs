//! SIGHUP: a valid file, an invalid one, and what systemd is told.

use std::{os::unix::net::UnixDatagram, time::Duration};

use glassbox_tests::{agent::Agent, docker::wait_until};

const BASE: &str = "tick_ms = 100\n[kernel]\nenabled = false\n[docker]\nenabled = false\n";
const SUCCEEDED: &str = "glassbox_config_last_reload_successful";
const PATIENCE: Duration = Duration::from_secs(20);
const AT: &str = "glassbox_config_last_reload_success_timestamp_seconds";

fn value(agent: &Agent, series: &str) -> f64 {
    let metrics = agent.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no series {series}"))
}

/// The next message that is not from a tick.
fn message(systemd: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    loop {
        let bytes = systemd.recv(&mut buffer).expect("a message within 30 s");
        let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
        if text != "WATCHDOG=1\n" {
            return text;
        }
    }
}

#[test]
fn sighup_applies_what_it_can_names_the_rest_and_keeps_the_old_configuration_if_the_file_is_invalid() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut agent = Agent::start_with(BASE, |command| {
        command.env("NOTIFY_SOCKET", &socket);
    });
    assert!(message(&systemd).starts_with("READY=1\n"));
    assert_eq!(value(&agent, SUCCEEDED), 1.0);
    let begun = value(&agent, AT);

    // Keys of both kinds. The level warn hides the line about the next reload.
    let changed = format!(
        "log = \"warn\"\n{}[health]\nstuck_after_s = 5\n[containers]\nmax = 99\n",
        BASE.replace("100", "150")
    );
    agent.reload(&changed);
    let reloading = message(&systemd);
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(message(&systemd).starts_with("READY=1\n"));
    let log = agent.log();
    assert!(log.contains("restart the agent to apply these changed keys: containers.max, tick_ms"), "{log}");
    wait_until("the new time is published", PATIENCE, || value(&agent, AT) > begun);
    let second = value(&agent, AT);

    agent.reload(&changed);
    assert!(message(&systemd).starts_with("RELOADING=1\n") && message(&systemd).starts_with("READY=1\n"));
    wait_until("the new time is published", PATIENCE, || value(&agent, AT) > second);
    assert!(!agent.log().contains("INFO read the configuration again: no key"), "{}", agent.log());

    agent.reload("tick_ms = 100\n[server]\nmax_conections = 5\n");
    assert!(message(&systemd).starts_with("RELOADING=1\n"));
    assert!(message(&systemd).contains("invalid configuration"));
    wait_until("the failure is published", PATIENCE, || value(&agent, SUCCEEDED) == 0.0);
    let log = agent.log();
    for part in ["agent.toml", "line 3", "max_conections", "stays in force"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(value(&agent, AT) > second, "the time of the last success is kept");

    agent.reload(BASE);
    wait_until("the success is published", PATIENCE, || value(&agent, SUCCEEDED) == 1.0);
    assert!(agent.end_within(Duration::from_secs(1)), "it has not exited after a second");
    assert_eq!(agent.exit_code(), Some(0));
}
