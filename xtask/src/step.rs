//! One step of a longer job: says what it does, shows that it is alive, and on failure shows why.
//!
//! A command's output is held back. On a terminal one live line shows the seconds so far and the newest line of
//! output; elsewhere such a line is printed every ten seconds. The whole tail is printed only when the step fails.

use std::collections::VecDeque;
use std::io::{BufReader, IsTerminal as _, PipeReader, Read as _, Write as _, stdout};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Lines of output kept to be shown when a step fails.
const TAIL_LINES: usize = 60;
/// How often a step without a terminal says that it is alive.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// Columns of the live line that the output may take.
const LIVE_COLUMNS: usize = 90;

/// Says something that is already as it should be, or that the reader should know.
pub(crate) fn note(text: &str) {
    println!("  - {text}");
}

/// Runs `command` to its end. `what` is a verb and its object.
pub(crate) fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    run_within(what, command, Duration::MAX)
}

/// [`run`] that kills the command after `limit`.
pub(crate) fn run_within(what: &str, command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    println!("  > {what}");
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    let started = Instant::now();
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone().context("duplicate a pipe")?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("{what}: start {command:?}"))?;
    // The command keeps the write ends open; dropped here, the pipe ends with the child.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (tail, in_time) = follow(&lines(reader), started, limit);
    if !in_time {
        child.kill().with_context(|| format!("{what}: kill it after {} s", limit.as_secs()))?;
    }
    let status = child.wait().with_context(|| format!("{what}: wait for it"))?;
    let seconds = started.elapsed().as_secs();
    if in_time && status.success() {
        println!("    done in {seconds} s");
        return Ok(());
    }
    for line in &tail {
        println!("    | {line}");
    }
    anyhow::ensure!(in_time, "{what}: no end after {seconds} s: {command:?}");
    anyhow::bail!("{what}: {status}: {command:?}")
}

/// Shows lines as they come until the output ends; `false` when `limit` passed first.
fn follow(lines: &Receiver<String>, started: Instant, limit: Duration) -> (VecDeque<String>, bool) {
    let live = stdout().is_terminal();
    let mut tail: VecDeque<String> = VecDeque::with_capacity(TAIL_LINES);
    let mut spoke = Instant::now();
    let in_time = loop {
        if started.elapsed() > limit {
            break false;
        }
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => {
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break true,
        }
        let due = if live { Duration::from_millis(200) } else { PLAIN_INTERVAL };
        if spoke.elapsed() >= due {
            spoke = Instant::now();
            let newest: String =
                tail.back().map_or("", |line| line.trim()).chars().take(LIVE_COLUMNS).collect();
            let seconds = started.elapsed().as_secs();
            if live {
                print!("\r\x1b[2K    {seconds:>4} s  {newest}");
                // A terminal that is gone ends the step soon enough by itself.
                let _ = stdout().flush();
            } else {
                println!("    {seconds:>4} s  {newest}");
            }
        }
    };
    if live {
        print!("\r\x1b[2K");
    }
    (tail, in_time)
}

/// Sends each line of `reader`, ended by a line feed or, as progress bars do, by a carriage return.
fn lines(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut line = Vec::new();
        for byte in BufReader::new(reader).bytes().map_while(Result::ok) {
            if byte != b'\n' && byte != b'\r' {
                line.push(byte);
            } else if !line.is_empty() {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        }
        if !line.is_empty() {
            // Nobody listens any more only when the step was given up.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_fails_fails_its_step_and_says_which() {
        let error = run("try it", &mut shell("echo why >&2; exit 3")).unwrap_err().to_string();
        assert!(error.starts_with("try it: exit status: 3"), "{error}");
        run("try it", &mut shell("exit 0")).unwrap();
    }

    #[test]
    fn a_command_without_end_is_killed_at_its_limit() {
        let started = Instant::now();
        let mut command = Command::new("sleep");
        let error = run_within("wait", command.arg("60"), Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("no end"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn progress_bars_and_a_last_line_without_end_are_lines_too() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"10%\r20%\r\nlast").unwrap();
        drop(writer);
        assert_eq!(lines(reader).iter().collect::<Vec<_>>(), ["10%", "20%", "last"]);
    }
}
