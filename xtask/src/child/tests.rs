//! Tests with commands that are silent, flood, crash or leave processes behind.

use std::time::Instant;

use super::running::QUEUE_LINES;
use super::*;

const LONG: Duration = Duration::from_secs(60);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Runs a script to its end and returns its lines.
fn run(script: &str, total_ms: u64, silence_ms: u64) -> (Vec<String>, End) {
    let limits =
        Limits { total: Duration::from_millis(total_ms), silence: Duration::from_millis(silence_ms) };
    let mut child = Child::start(&mut shell(script), Output::Both).unwrap().with_limits(limits);
    let mut lines = Vec::new();
    let end = child.follow(|line| {
        lines.push(line);
        Ok(())
    });
    (lines, end.unwrap())
}

/// Whether a process exists that is not a zombie.
fn is_running(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[test]
fn lines_of_both_streams_arrive_in_order_before_the_exit_status() {
    let (lines, end) = run("echo one; echo two >&2; printf 'thr\\377ee\\n\\nlast'; exit 3", 60_000, 60_000);
    assert_eq!(lines, ["one", "two", "thr\u{fffd}ee", "", "last"]);
    assert!(matches!(end, End::Exited(status) if status.code() == Some(3)) && !end.is_success(), "{end}");
}

#[test]
fn a_silent_command_is_terminated_with_its_descendants() {
    let (lines, end) = run("sleep 60 & echo $!; wait", 60_000, 300);
    assert!(matches!(end, End::Silent(time) if time < LONG), "{end}");
    assert!(!is_running(&lines[0]), "{lines:?}");
}

#[test]
fn a_command_that_floods_is_terminated_at_its_time_limit() {
    let (lines, end) = run("yes", 300, 60_000);
    assert!(matches!(end, End::TimedOut(time) if time < LONG), "{end}");
    assert!(lines.len() > QUEUE_LINES && lines.iter().all(|line| line == "y"));
}

#[test]
fn a_slow_reader_loses_no_line_and_the_command_does_not_count_as_silent() {
    let mut child = Child::start(&mut shell("seq 50000"), Output::Both).unwrap();
    child = child.with_limits(Limits { silence: Duration::from_millis(200), ..Limits::NONE });
    std::thread::sleep(Duration::from_millis(400));
    let mut lines = 0;
    let end = child.follow(|line| {
        lines += 1;
        assert_eq!(line, lines.to_string());
        Ok(())
    });
    assert!(end.unwrap().is_success());
    assert_eq!(lines, 50_000);
}

#[test]
fn a_signal_is_reported_with_the_command() {
    let mut child = Child::start(&mut shell("kill -SEGV $$"), Output::Both).unwrap();
    let end = child.follow(|_| Ok(())).unwrap();
    let error = child.check(end).unwrap_err().to_string();
    assert!(error.starts_with("signal: 11") && error.contains("kill -SEGV"), "{error}");
    let missing = Child::start(&mut Command::new("/no/such/program"), Output::Both).unwrap_err();
    assert!(missing.to_string().contains("/no/such/program"), "{missing}");
}

#[test]
fn a_grandchild_that_keeps_the_pipe_open_is_terminated_when_the_command_exits() {
    let started = Instant::now();
    let (lines, end) = run("sleep 60 & echo $!", 60_000, 60_000);
    assert!(end.is_success() && started.elapsed() < LONG, "{end}");
    assert!(!is_running(&lines[0]), "{lines:?}");
}

#[test]
fn a_daemon_that_keeps_the_pipe_open_does_not_delay_the_end() {
    let started = Instant::now();
    // The command waits at the FIFO until the daemon has left its group.
    let script = "d=$(mktemp -d); mkfifo $d/fifo
        setsid sh -c \"echo \\$\\$; echo >$d/fifo; exec sleep 60\" & read _ <$d/fifo; rm -r $d";
    let (lines, end) = run(script, 60_000, 60_000);
    assert!(end.is_success() && started.elapsed() < LONG, "{end}");
    assert!(shell(&format!("kill {}", lines[0])).status().unwrap().success(), "the daemon was terminated");
}

#[test]
fn a_dropped_command_is_terminated_with_its_descendants() {
    let mut child = Child::start(&mut shell("sleep 60 & echo $!; wait"), Output::Stdout).unwrap();
    let Event::Line(pid) = child.next(LONG).unwrap() else { panic!("no line") };
    assert_eq!(child.next(Duration::from_millis(10)).unwrap(), Event::Timeout);
    assert!(is_running(&pid));
    drop(child);
    assert!(!is_running(&pid));
}

#[test]
fn lines_are_also_written_to_the_log() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let child = Child::start(&mut shell("echo one; echo two"), Output::Stdout).unwrap();
    child.with_log(log.path()).unwrap().follow(|_| Ok(())).unwrap();
    assert_eq!(std::fs::read_to_string(log.path()).unwrap(), "one\ntwo\n");
}

#[test]
fn the_output_of_a_command_that_fails_is_an_error() {
    assert_eq!(output(&mut shell("echo one; echo two"), Limits::NONE).unwrap(), "one\ntwo\n");
    assert!(output(&mut shell("echo one; exit 1"), Limits::NONE).unwrap_err().to_string().contains("exit 1"));
}
