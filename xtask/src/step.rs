//! One step of a longer job: says what it does, shows that it is alive, and on failure shows why.
//!
//! A command's output is held back. On a terminal one live line shows the seconds so far and the newest line of
//! output; elsewhere such a line is printed every ten seconds. The whole tail is printed only when the step fails.

use std::collections::VecDeque;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::child::{Child, Event, Limits, Output};
use crate::progress::{LIVE_INTERVAL, Progress};

/// Lines of output kept to be shown when a step fails.
const TAIL_LINES: usize = 60;
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

/// [`run`] that ends the command after `limit`.
pub(crate) fn run_within(what: &str, command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    println!("  > {what}");
    follow(command, limit).map_err(|error| anyhow::anyhow!("{what}: {error:#}"))
}

fn follow(command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut child = Child::start(command, Output::Both)?.with_limits(Limits { total: limit, ..Limits::NONE });
    let mut tail: VecDeque<String> = VecDeque::with_capacity(TAIL_LINES);
    let mut progress = Progress::new();
    let end = loop {
        match child.next(LIVE_INTERVAL)? {
            Event::Line(line) if line.is_empty() => {}
            Event::Line(line) => {
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Event::Timeout => {}
            Event::End(end) => break end,
        }
        progress.show(|| {
            let newest = tail.back().map_or("", |line| line.trim());
            let newest: String = newest.chars().take(LIVE_COLUMNS).collect();
            format!("{:>4} s  {newest}", started.elapsed().as_secs())
        });
    };
    progress.clear();
    if end.is_success() {
        println!("    done in {} s", started.elapsed().as_secs());
    } else {
        for line in &tail {
            println!("    | {line}");
        }
    }
    child.check(end)
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
}
