//! A step of a longer job: a command with a description, a status line, and output that is printed only if it fails.
//!
//! The status line has the elapsed seconds and the last line of output, see [`Progress`].

use std::collections::VecDeque;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::child::{Child, Event, Limits, Output};
use crate::progress::{LIVE_INTERVAL, Progress};

/// Lines of output that are printed if a step fails.
const TAIL_LINES: usize = 60;
/// Width of the output in the status line.
const LIVE_COLUMNS: usize = 90;

/// Prints a note: something that needs no step, or a warning.
pub(crate) fn note(text: &str) {
    println!("  - {text}");
}

/// Runs a command to its end. `what` is a verb and its object.
pub(crate) fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    run_within(what, command, Duration::MAX)
}

/// [`run`] that ends the command after `limit`.
pub(crate) fn run_within(what: &str, command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    println!("  > {what}");
    let took = follow(command, limit, Some(Progress::new())).map_err(|error| failed(what, &error))?;
    println!("    done in {} s", took.as_secs());
    Ok(())
}

/// [`run_within`] at the same time as other steps: without a status line, and printed at the end.
pub(crate) fn run_beside(what: &str, command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let took = follow(command, limit, None).map_err(|error| failed(what, &error))?;
    println!("  > {what}\n    done in {} s", took.as_secs());
    Ok(())
}

fn failed(what: &str, error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{what}: {error:#}")
}

/// Runs a command to its end, and returns how long it took.
fn follow(
    command: &mut Command,
    limit: Duration,
    mut progress: Option<Progress>,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut child = Child::start(command, Output::Both)?.with_limits(Limits { total: limit, ..Limits::NONE });
    let mut tail: VecDeque<String> = VecDeque::with_capacity(TAIL_LINES);
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
        let Some(progress) = &mut progress else { continue };
        progress.show(|| {
            let newest = tail.back().map_or("", |line| line.trim());
            let newest: String = newest.chars().take(LIVE_COLUMNS).collect();
            format!("{:>4} s  {newest}", started.elapsed().as_secs())
        });
    };
    if let Some(progress) = &mut progress {
        progress.clear();
    }
    if !end.is_success() {
        for line in &tail {
            println!("    | {line}");
        }
    }
    child.check(end)?;
    Ok(started.elapsed())
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
    fn a_failed_command_fails_its_step_with_the_name_of_the_step() {
        let error = run("try it", &mut shell("echo why >&2; exit 3")).unwrap_err().to_string();
        assert!(error.starts_with("try it: exit status: 3"), "{error}");
        run("try it", &mut shell("exit 0")).unwrap();
    }

    #[test]
    fn a_command_is_ended_at_its_time_limit() {
        let started = Instant::now();
        let mut command = Command::new("sleep");
        let error = run_within("wait", command.arg("60"), Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("not finished after 0 s"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
