//! systemd accepts the unit without warnings, and the unit is sandboxed.

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs systemd-analyze on the unit, with an existing binary in place of the agent. `None` without systemd.
fn analyze(words: &[&str]) -> Option<Output> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/glassbox.service");
    let unit = std::fs::read_to_string(path).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/glassbox run --config /etc/glassbox/agent.toml $ARGS\n"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("glassbox.service");
    std::fs::write(&path, unit.replace("/usr/bin/glassbox", "/bin/true")).unwrap();
    match Command::new("systemd-analyze").args(words).arg(&path).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            eprintln!("SKIPPED: systemd-analyze is not installed, so the unit is not checked");
            None
        }
    }
}

#[test]
fn systemd_accepts_the_unit_without_warnings() {
    let Some(output) = analyze(&["verify"]) else { return };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{text}");
}

#[test]
fn the_unit_has_a_low_exposure_level() {
    let Some(output) = analyze(&["security", "--offline=true", "--threshold=25"]) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Overall exposure level"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}

#[test]
fn an_invalid_configuration_does_not_restart_the_agent_in_a_loop() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/glassbox.service");
    let unit = std::fs::read_to_string(path).unwrap();
    let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    let prevented: Vec<u8> = prevented.split_whitespace().map(|code| code.parse().unwrap()).collect();
    assert_eq!(prevented, [glassbox::cli::EXIT_USAGE, glassbox::cli::EXIT_CONFIG]);
    assert!(unit.contains("\nDocumentation="), "{unit}");
}
