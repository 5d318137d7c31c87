//! The status of a container in words: its problems, or its state if it has none.

use std::{fmt, time::Duration};

use crate::snapshot::{
    ContainerRow,
    lifecycle::{ContainerState, ExitReason},
    problem::Problem,
};

/// The words, and the CSS class for their colour.
pub(super) struct Status {
    pub(super) words: String,
    pub(super) class: &'static str,
}

/// The status of a container at the time of the snapshot.
pub(super) fn status(row: &ContainerRow) -> Status {
    if !row.problems.is_empty() {
        let words: Vec<_> = row.problems.iter().map(|problem| Words(problem).to_string()).collect();
        let only_slow = row.problems.iter().all(|problem| matches!(problem, Problem::Throttled { .. }));
        return Status { words: words.join("; "), class: if only_slow { "warn" } else { "bad" } };
    }
    if row.is_running() {
        // A container with a live cgroup has been started, even if its runtime last reported `created`.
        let state = row
            .status
            .state
            .filter(|state| *state != ContainerState::Created)
            .unwrap_or(ContainerState::Running);
        let class = if state == ContainerState::Running { "good" } else { "warn" };
        return Status { words: state.as_str().to_owned(), class };
    }
    let Some(ago) = row.ended_ago.map(Span) else {
        return Status { words: "ended, cgroup left behind".to_owned(), class: "dim" };
    };
    let exit = row.status.last_exit;
    match (exit.and_then(|exit| exit.code), exit.and_then(|exit| exit.reason)) {
        (Some(0), _) | (None, Some(ExitReason::Completed)) => {
            Status { words: format!("completed {ago} ago"), class: "dim" }
        }
        (Some(code), reason) => {
            let reason = reason.map(|reason| format!(" ({})", reason.as_str().replace('_', " ")));
            let words = format!("exited with {code}{}, {ago} ago", reason.unwrap_or_default());
            Status { words, class: "warn" }
        }
        (None, _) => Status { words: format!("ended {ago} ago"), class: "dim" },
    }
}

/// A problem in words.
pub(in super::super) struct Words<'a>(pub(in super::super) &'a Problem);

impl fmt::Display for Words<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Problem::StuckInDriver { since: Some(since) } => {
                write!(out, "stuck in the GPU driver for {}", Span(since))
            }
            Problem::StuckInDriver { since: None } => out.write_str("stuck in the GPU driver"),
            Problem::Stuck { reason, since } => {
                write!(out, "stuck for {}: {}", Span(since), reason.words())
            }
            Problem::Unhealthy => out.write_str("unhealthy: its health check fails"),
            Problem::OomKilled { kills, ago } => {
                out.write_str("OOM-killed")?;
                match kills {
                    Some(kills) if kills > 1 => write!(out, " {kills} times, last {} ago", Span(ago)),
                    _ => write!(out, " {} ago", Span(ago)),
                }
            }
            Problem::CrashLooping { restarts, code } => {
                write!(out, "crash-looping: {restarts} restarts in 10 min")?;
                code.map_or(Ok(()), |code| write!(out, ", exit code {code}"))
            }
            Problem::Throttled { ratio } => {
                write!(out, "CPU throttled in {:.0} % of periods", ratio * 100.0)
            }
        }
    }
}

/// A duration in a readable format.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(out, "{seconds} s"),
            60..3600 => write!(out, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(out, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::health::StuckReason;

    #[test]
    fn every_problem_has_words() {
        let seconds = Duration::from_secs;
        for (problem, words) in [
            (Problem::StuckInDriver { since: Some(seconds(432)) }, "stuck in the GPU driver for 7 min 12 s"),
            (Problem::StuckInDriver { since: None }, "stuck in the GPU driver"),
            (
                Problem::Stuck { reason: StuckReason::Lock, since: seconds(12) },
                "stuck for 12 s: blocked on a lock",
            ),
            (Problem::Unhealthy, "unhealthy: its health check fails"),
            (Problem::OomKilled { kills: Some(6), ago: seconds(4) }, "OOM-killed 6 times, last 4 s ago"),
            (Problem::OomKilled { kills: None, ago: seconds(61) }, "OOM-killed 1 min 1 s ago"),
            (
                Problem::CrashLooping { restarts: 5, code: Some(1) },
                "crash-looping: 5 restarts in 10 min, exit code 1",
            ),
            (Problem::Throttled { ratio: 0.388 }, "CPU throttled in 39 % of periods"),
        ] {
            assert_eq!(Words(&problem).to_string(), words);
        }
        assert_eq!(Span(seconds(7380)).to_string(), "2 h 3 min");
    }
}
