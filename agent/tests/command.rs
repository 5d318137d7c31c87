//! The command line as its users meet it: what the binary prints and its exit status.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what these functions do for tests, tests may do")]

use std::{
    path::Path,
    process::{Command, Output},
};

fn check(config: &str) -> (Output, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_glassbox"))
        .arg("check")
        .arg("--config")
        .arg(file.path())
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    (output, table)
}

fn row<'a>(table: &'a str, subject: &str) -> &'a str {
    table
        .lines()
        .find(|line| line.starts_with(subject))
        .unwrap_or_else(|| panic!("no row {subject} in\n{table}"))
}

#[test]
fn a_host_without_cgroups_is_fatal_and_exits_with_1() {
    let (output, table) = check("[paths]\ncgroup = \"/nonexistent\"\n");
    assert_eq!(output.status.code(), Some(1), "{table}");
    let cgroups = row(&table, "cgroups");
    assert!(cgroups.contains("FATAL") && cgroups.contains("/nonexistent"), "{cgroups}");
    assert!(table.trim_end().ends_with("glassbox cannot run here: see FATAL above."), "{table}");
}

#[test]
fn what_is_off_is_named_with_its_reason_and_the_agent_can_still_run() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup/v2");
    let config = format!(
        "[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n[docker]\nsocket = \"/nonexistent.sock\"\n\
         [collectors]\nnetwork = false\n"
    );
    let (output, table) = check(&config);
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(row(&table, "cgroups").contains("v2 at"), "{table}");
    assert!(row(&table, "docker").contains("/nonexistent.sock"), "{table}");
    assert!(row(&table, "probes").contains("kernel.enabled = false"), "{table}");
    assert!(row(&table, "collector network").contains("collectors.network = false"), "{table}");
    assert!(row(&table, "collector scheduler").contains("kernel.enabled = false"), "{table}");
    for subject in ["kernel", "BTF", "lockdown", "privileges", "GPU"] {
        row(&table, subject);
    }
}

#[test]
fn a_malformed_configuration_is_refused_with_its_line() {
    let (output, table) = check("tick_ms = 1000\ntikc_ms = 5\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}{error}");
    assert!(error.contains("tikc_ms") && error.contains("line 2"), "{error}");
}

#[test]
fn an_address_that_is_taken_is_refused_with_the_remedy() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let output =
        Command::new(env!("CARGO_BIN_EXE_glassbox")).args(["run", "--listen", &address]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
}
