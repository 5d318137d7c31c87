//! The command line: what the binary prints, and its exit status.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, also in its helpers")]

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const GLASSBOX: &str = env!("CARGO_BIN_EXE_glassbox");

fn check_with(flags: &[&str], config: &str) -> (Output, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Another agent on this host may use the default port.
    let listen = if config.contains("listen = ") { "" } else { "listen = \"127.0.0.1:0\"\n" };
    std::fs::write(file.path(), format!("{listen}{config}")).unwrap();
    let output =
        Command::new(GLASSBOX).arg("check").args(flags).arg("--config").arg(file.path()).output().unwrap();
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    (output, table)
}

fn check(config: &str) -> (Output, String) {
    check_with(&[], config)
}

fn glassbox(words: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(GLASSBOX).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A minimal configuration that needs nothing the host may lack: no kernel programs, runtimes or GPUs, and a fixture in
/// place of the cgroup tree.
fn modest() -> String {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup/v2");
    format!(
        "[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n[docker]\nenabled = false\n[podman]\nsockets = []\n\
         [containerd]\nsockets = []\n[cri]\nsockets = []\n[collectors]\nnetwork = false\nhost_network = false\n\
         nvml = false\nnvidia_driver = false\ndisk = false\n"
    )
}

/// Whether this process runs in the host's namespaces. In a container, every report is degraded for that reason alone.
fn is_on_the_host() -> bool {
    let links = ["pid:[4026531836]", "cgroup:[4026531835]", "user:[4026531837]"];
    let is_first = |link: &&str| {
        let kind = link.split(':').next().unwrap();
        std::fs::read_link(format!("/proc/self/ns/{kind}")).is_ok_and(|found| found.as_os_str() == *link)
    };
    let root = std::fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t0");
    root && links.iter().all(is_first)
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
fn disabled_parts_are_listed_with_the_reason_and_the_agent_can_run() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup/v2");
    let config = format!(
        "[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n[docker]\nsocket = \"/nonexistent.sock\"\n\
         [collectors]\nnetwork = false\n"
    );
    let (output, table) = check(&config);
    // Docker is configured but unreachable.
    assert_eq!(output.status.code(), Some(2), "{table}");
    assert!(row(&table, "cgroups").contains("v2 at"), "{table}");
    assert!(row(&table, "docker").contains("/nonexistent.sock"), "{table}");
    assert!(row(&table, "probes").contains("kernel.enabled = false"), "{table}");
    assert!(row(&table, "collector network").contains("collectors.network = false"), "{table}");
    assert!(row(&table, "collector scheduler").contains("off"), "{table}");
    assert!(row(&table, "collector scheduler").contains("same reason as probes"), "{table}");
    for subject in ["kernel", "BTF", "lockdown", "privileges", "GPU"] {
        row(&table, subject);
    }
}

#[test]
fn a_malformed_configuration_is_refused_with_its_line() {
    let (output, table) = check("tick_ms = 1000\ntikc_ms = 5\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}{error}");
    assert!(error.contains("tikc_ms") && error.contains("line 3"), "{error}");
    let (output, json) = check_with(&["--json"], "tikc_ms = 5\n");
    assert_eq!(output.status.code(), Some(1), "{json}");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["verdict"], "fatal");
    assert_eq!(report["rows"][0]["subject"], "configuration");
}

#[test]
fn an_address_in_use_is_refused_and_the_error_says_what_to_do() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let output =
        Command::new(env!("CARGO_BIN_EXE_glassbox")).args(["run", "--listen", &address]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
}

#[test]
fn for_an_address_of_another_host_the_error_does_not_mention_another_agent() {
    // TEST-NET-1, which no host has.
    let (code, _, error) = glassbox(&["run", "--listen", "192.0.2.1:9966"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("not an address of this host") && !error.contains("another agent"), "{error}");
}

#[test]
fn an_invalid_configuration_has_an_exit_status_of_its_own() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "tick_ms = 5\n").unwrap();
    let (code, _, error) = glassbox(&["run", "--config", file.path().to_str().unwrap()]);
    assert_eq!(code, Some(i32::from(glassbox::cli::EXIT_CONFIG)), "{error}");
    let (code, _, error) = glassbox(&["run", "--config", "/nowhere/agent.toml"]);
    assert_eq!(code, Some(i32::from(glassbox::cli::EXIT_CONFIG)), "{error}");
    let (code, _, error) = glassbox(&["run", "--log", "glassbox=loud"]);
    assert_eq!(code, Some(i32::from(glassbox::cli::EXIT_CONFIG)), "{error}");
}

#[test]
fn the_printed_configuration_merges_file_flags_and_defaults() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "tick_ms = 500\n").unwrap();
    let flags = ["config", "--config", file.path().to_str().unwrap(), "--listen", "[::1]:2"];
    let (code, text, error) = glassbox(&flags);
    assert_eq!(code, Some(0), "{error}");
    for line in ["listen = \"[::1]:2\"", "tick_ms = 500", "[server]", "max_connections = 64"] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    std::fs::write(file.path(), "tick = 500\n").unwrap();
    let (code, text, error) = glassbox(&flags);
    assert_eq!((code, text.as_str()), (Some(i32::from(glassbox::cli::EXIT_CONFIG)), ""), "{error}");
    assert!(error.contains("line 1") && error.contains("did you mean `tick_ms`?"), "{error}");
}

#[test]
fn a_usage_error_has_another_exit_status_than_a_degraded_host() {
    for words in [&["check", "--bogus"][..], &["run", "--listen", "localhost:9966"], &["nonsense"], &[]] {
        let (code, _, error) = glassbox(words);
        assert_eq!(code, Some(i32::from(glassbox::cli::EXIT_USAGE)), "{words:?}: {error}");
    }
    let (_, _, error) = glassbox(&["run", "--listen", "localhost:9966"]);
    assert!(error.contains("127.0.0.1:9966"), "{error}");
}

#[test]
fn health_prints_one_line_and_exits_with_0_or_1() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = address.to_string();
    let asked = || glassbox(&["health", "--config", "/dev/null", "--listen", &listen]);
    let (code, text, error) = asked();
    assert_eq!((code, text.as_str()), (Some(1), ""), "{error}");
    assert!(error.starts_with("glassbox: ask the agent at http://") && error.lines().count() == 1, "{error}");
    let _agent = agent_without_a_host(address, Stdio::null());
    let (code, text, error) = asked();
    assert_eq!((code, text), (Some(0), format!("healthy: {address}: ok\n")), "{error}");
    let (code, _, error) = glassbox(&["health", "--config", "/nowhere/agent.toml"]);
    assert!(code == Some(1) && error.contains("/nowhere/agent.toml"), "{error}");
    for wrong in [&["health", "--timeout", "0"][..], &["health", "--cert-file", "x"]] {
        assert_eq!(glassbox(wrong).0, Some(i32::from(glassbox::cli::EXIT_USAGE)), "{wrong:?}");
    }
}

#[test]
fn help_works_as_a_command_and_the_version_names_the_commit() {
    let (code, help, _) = glassbox(&["help"]);
    assert!(code == Some(0) && help.contains("glassbox check"), "{help}");
    let (code, help, _) = glassbox(&["help", "check"]);
    assert!(code == Some(0) && help.contains("--json"), "{help}");
    let (code, version, _) = glassbox(&["--version"]);
    assert_eq!(code, Some(0));
    let commit = version.split_once("(commit ").unwrap().1;
    let (commit, date) = commit.trim_end().trim_end_matches(')').split_once(", ").unwrap();
    let known = commit.len() >= 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && date.len() == 10;
    assert!(known || (commit, date) == ("unknown", "unknown"), "{version}");
}

#[test]
fn disabled_collectors_and_missing_hardware_do_not_change_the_exit_status() {
    let (output, table) = check(&modest());
    let expected = if is_on_the_host() { 0 } else { 2 };
    assert_eq!(output.status.code(), Some(expected), "{table}");
    assert!(row(&table, "docker").contains("off"), "{table}");
    assert!(row(&table, "collector nvml").contains("off"), "{table}");
}

#[test]
fn on_a_host_without_gpus_nvml_is_not_reported_as_ok() {
    if Path::new("/proc/driver/nvidia").exists() {
        eprintln!("SKIPPED: this host has an NVIDIA driver");
        return;
    }
    let (_, table) = check(&modest().replace("nvml = false\n", "nvml = true\n"));
    for subject in ["GPU", "collector nvml"] {
        assert!(!row(&table, subject).contains("  ok "), "{table}");
    }
}

#[test]
fn the_json_has_every_row_of_the_table() {
    let (output, json) = check_with(&["--json"], &modest());
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["exit_code"].as_i64(), output.status.code().map(i64::from));
    let rows = report["rows"].as_array().unwrap();
    let (_, table) = check(&modest());
    assert_eq!(rows.len(), table.lines().count() - 2, "{table}");
    let states = ["ok", "degraded", "off", "not_applicable", "fatal"];
    for row in rows {
        assert!(states.contains(&row["state"].as_str().unwrap()), "{row}");
        assert!(row["subject"].is_string() && row["finding"].is_string(), "{row}");
    }
    for subject in ["kernel", "privileges", "cgroup namespace", "cgroups", "listener", "docker", "GPU"] {
        assert!(rows.iter().any(|row| row["subject"] == subject), "{subject}: {json}");
    }
}

#[test]
fn check_finds_a_port_in_use_before_the_agent_starts() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    // A socket that never answers is not taken for another agent.
    let (output, table) = check(&format!("listen = {address:?}\n{}", modest()));
    assert_eq!(output.status.code(), Some(1), "{table}");
    let listener = row(&table, "listener");
    assert!(listener.contains("FATAL") && listener.contains("--listen"), "{listener}");
}

#[test]
fn check_recognizes_a_running_agent_without_tls_and_passwords() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _agent = agent_without_a_host(address, Stdio::null());
    let (_, table) = check(&format!("listen = \"{address}\"\n{}", modest()));
    let listener = row(&table, "listener");
    assert!(listener.contains(&format!("a glassbox agent is running at http://{address}/")), "{listener}");
    assert!(!table.contains("FATAL"), "{table}");
}

/// Runs `glassbox check` as root without these capabilities. `None` if this process cannot drop capabilities.
fn check_without(capabilities: &str, config: &str) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("listen = \"127.0.0.1:0\"\n{config}")).unwrap();
    let output = Command::new("setpriv")
        .args(["--bounding-set", capabilities, "--inh-caps", capabilities, GLASSBOX, "check", "--config"])
        .arg(file.path())
        .output();
    match output {
        Ok(output) if !output.stdout.is_empty() => Some(String::from_utf8(output.stdout).unwrap()),
        _ => {
            eprintln!("SKIPPED: setpriv is not installed, or this process may not drop capabilities");
            None
        }
    }
}

#[test]
fn root_without_capabilities_gets_no_hint_to_run_as_root_and_each_cause_once() {
    let Some(table) = check_without("-bpf,-perfmon,-sys_admin,-net_admin", "") else { return };
    let privileges = row(&table, "privileges");
    assert!(privileges.contains("degraded  "), "{table}");
    for name in ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"] {
        assert!(privileges.contains(name), "{name}: {privileges}");
    }
    assert!(!table.contains("run as root"), "{table}");
    let mut long: Vec<_> =
        table.lines().filter_map(|line| line.get(38..)).filter(|text| text.len() > 60).collect();
    let all = long.len();
    long.sort_unstable();
    long.dedup();
    assert_eq!(long.len(), all, "a cause is printed twice:\n{table}");
    assert!(row(&table, "collector scheduler").contains("same reason as probes"), "{table}");
}

/// Runs the agent with a standard error that cannot be written, and checks its health and its exit status.
fn runs_without_a_log(standard_error: Stdio) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut agent = agent_without_a_host(address, standard_error);
    let agent = &mut agent.0;
    let healthy = eventually(|| health(address) == Some(200));
    let status = agent.try_wait().unwrap();
    assert!(healthy && status.is_none(), "{status:?}");
    // SAFETY: no pointers; the child is ours and was not waited for.
    unsafe { libc::kill(agent.id().cast_signed(), libc::SIGTERM) };
    assert!(eventually(|| agent.try_wait().unwrap().is_some()));
    assert_eq!(agent.wait().unwrap().code(), Some(0));
}

/// A process that is killed when dropped. If it outlived a failed test, it would keep files and a port open.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent without kernel programs and runtimes, at log level debug, so that it writes many lines.
fn agent_without_a_host(address: std::net::SocketAddr, standard_error: Stdio) -> Running {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup/v2");
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = format!(
        "log = \"debug\"\n[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n\
         [docker]\nsocket = \"/nonexistent.sock\"\n"
    );
    std::fs::write(file.path(), config).unwrap();
    let running = Running(
        Command::new(GLASSBOX)
            .args(["run", "--listen", &address.to_string(), "--config"])
            .arg(file.path())
            .stderr(standard_error)
            .spawn()
            .unwrap(),
    );
    // The agent has read the file once it answers.
    eventually(|| health(address).is_some());
    running
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
fn the_agent_runs_on_if_the_log_is_on_a_full_disk() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    runs_without_a_log(full.into());
}

#[test]
fn the_agent_runs_on_if_the_reader_of_its_log_exits() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    runs_without_a_log(writer.into());
}

#[test]
fn the_agent_runs_on_if_the_reader_of_its_log_stops_reading() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut full = writer.try_clone().unwrap();
    let filling = std::thread::spawn(move || full.write_all(&[b'x'; 1 << 20]));
    std::thread::sleep(Duration::from_millis(200));
    runs_without_a_log(writer.into());
    drop(_reader);
    assert!(filling.join().unwrap().is_err());
}

#[test]
fn a_closed_pipe_does_not_fail_check_but_a_write_error_does() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cgroup/v2");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        format!("listen = \"127.0.0.1:0\"\n[paths]\ncgroup = {fixture:?}\n[kernel]\nenabled = false\n"),
    )
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
fn an_unknown_log_level_is_refused_with_the_list_of_levels() {
    let refused = |command: &mut Command, code: u8| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(code)));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("error, warn, info, debug, trace"), "{error}");
        error
    };
    // `run` would not return if it accepted the level.
    let mut run = Command::new("timeout");
    run.args(["--signal=KILL", "20", GLASSBOX, "run", "--log", "eror"]);
    assert!(refused(&mut run, glassbox::cli::EXIT_CONFIG).contains("eror"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "log = \"verbose\"\n").unwrap();
    let mut check = Command::new(GLASSBOX);
    let error = refused(check.arg("check").arg("--config").arg(file.path()), 1);
    assert!(error.contains("key log") && error.contains("verbose"), "{error}");
}

#[test]
fn a_web_configuration_that_cannot_be_used_is_a_wrong_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let web = directory.path().join("web.yml");
    let web = web.to_str().unwrap();
    let password = "basic_auth_users:\n  alice: secret\n";
    for (text, part) in
        [(password, "line 2"), ("tls_server_config: {cert_file: none, key_file: none}\n", "cert_file")]
    {
        std::fs::write(web, text).unwrap();
        for verb in ["run", "config"] {
            let (code, _, error) = glassbox(&[verb, "--config", "/dev/null", "--web-config", web]);
            assert_eq!(code, Some(78), "{verb}: {error}");
            assert!(
                error.contains(web) && error.contains(part) && !error.contains("secret"),
                "{verb}: {error}"
            );
        }
    }
}

#[test]
fn an_exposed_listener_is_reported() {
    let (_, table) = check(&format!("listen = \"0.0.0.0:0\"\n{}", modest()));
    assert!(row(&table, "TLS and passwords").contains("without authentication"), "{table}");
    let (_, table) = check(&modest());
    assert!(!row(&table, "TLS and passwords").contains("without authentication"), "{table}");
}
