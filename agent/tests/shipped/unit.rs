//! systemd takes the unit without complaint, and what it lets the agent do stays little.

use std::{
    path::Path,
    process::{Command, Output},
};

/// What systemd-analyze says of the unit, with a binary that is there in place of the agent; `None` without
/// systemd.
fn analyze(words: &[&str]) -> Option<Output> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/glassbox.service");
    let unit = std::fs::read_to_string(path).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/glassbox run --config /etc/glassbox/agent.toml\n"));
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
fn the_unit_is_taken_without_complaint() {
    let Some(output) = analyze(&["verify"]) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_unit_lets_the_agent_do_little() {
    let Some(output) = analyze(&["security", "--offline=true", "--threshold=40"]) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Overall exposure level"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_wrong_configuration_does_not_make_systemd_start_the_agent_over_and_over() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/glassbox.service");
    let unit = std::fs::read_to_string(path).unwrap();
    let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    let prevented: Vec<u8> = prevented.split_whitespace().map(|code| code.parse().unwrap()).collect();
    assert_eq!(prevented, [glassbox::cli::EXIT_USAGE, glassbox::cli::EXIT_CONFIG]);
    assert!(unit.contains("\nDocumentation="), "{unit}");
}
