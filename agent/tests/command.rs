//! The command line as its users meet it: what the binary prints and its exit status.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what these functions do for tests, tests may do")]

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
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

/// Runs the agent for a moment with standard error somewhere that cannot be written, and asks it for its health.
fn lives_without_a_log(standard_error: Stdio) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut agent = agent_without_a_host(address, standard_error);
    let healthy = eventually(|| health(address) == Some(200));
    let status = agent.try_wait().unwrap();
    assert!(healthy && status.is_none(), "{status:?}");
    // SAFETY: no pointers; the child is ours and was not waited for.
    unsafe { libc::kill(agent.id().cast_signed(), libc::SIGTERM) };
    assert!(eventually(|| agent.try_wait().unwrap().is_some()));
    assert_eq!(agent.wait().unwrap().code(), Some(0));
}

/// An agent that warns of everything: no kernel programs, no runtime.
fn agent_without_a_host(address: std::net::SocketAddr, standard_error: Stdio) -> std::process::Child {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup/v2");
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = format!(
        "log = \"debug\"\n[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n\
         [docker]\nsocket = \"/nonexistent.sock\"\n"
    );
    std::fs::write(file.path(), config).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_glassbox"))
        .args(["run", "--listen", &address.to_string(), "--config"])
        .arg(file.path())
        .stderr(standard_error)
        .spawn()
        .unwrap();
    // Read by the time it answers.
    eventually(|| health(address).is_some());
    child
}

fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn health(address: std::net::SocketAddr) -> Option<u16> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
fn a_full_disk_under_the_log_does_not_end_the_agent() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    lives_without_a_log(full.into());
}

#[test]
fn a_log_whose_reader_has_gone_does_not_end_the_agent() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    lives_without_a_log(writer.into());
}

#[test]
fn a_log_whose_reader_sleeps_does_not_hold_up_the_agent() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut full = writer.try_clone().unwrap();
    let filling = std::thread::spawn(move || full.write_all(&[b'x'; 1 << 20]));
    std::thread::sleep(Duration::from_millis(200));
    lives_without_a_log(writer.into());
    drop(_reader);
    assert!(filling.join().unwrap().is_err());
}

#[test]
fn a_report_whose_reader_has_gone_is_no_failure_and_one_that_cannot_be_written_is() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup/v2");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n"))
        .unwrap();
    let run = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
        command.arg("check").arg("--config").arg(file.path()).stdout(stdout).output().unwrap()
    };
    let whole = run(Stdio::piped());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let cut = run(writer.into());
    assert_eq!(cut.status.code(), whole.status.code(), "{}", String::from_utf8_lossy(&cut.stderr));
    assert!(cut.stderr.is_empty(), "{}", String::from_utf8_lossy(&cut.stderr));
    let full = run(std::fs::File::options().write(true).open("/dev/full").unwrap().into());
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("write to standard output"));
}

#[test]
fn a_log_level_that_is_none_is_refused_with_those_that_are() {
    let refused = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("error, warn, info, debug, trace"), "{error}");
        error
    };
    let mut run = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    assert!(refused(run.args(["run", "--log", "eror"])).contains("eror"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "log = \"verbose\"\n").unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    let error = refused(check.arg("check").arg("--config").arg(file.path()));
    assert!(error.contains("key log") && error.contains("verbose"), "{error}");
}
