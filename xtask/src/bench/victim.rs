//! Slowdown of processes in a container while the agent runs.

use anyhow::Context as _;
use serde_json::Value;

use super::run::Run;
use super::table::{Row, Verdict, percent};
use crate::samples::Samples;

/// Maximum slowdown.
const BUDGET: f64 = 0.01;
const WORKLOADS: [(&str, &str); 3] =
    [("switches", "context switches"), ("syscalls", "system calls"), ("requests", "requests")];

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let peer = run.peers.runqlat.as_ref().context("find runqlat")?;
    let measure = |what, rounds: usize, more: &[&str]| -> anyhow::Result<Vec<Value>> {
        let mut arguments = vec![format!("--rounds={rounds}"), run.agent()];
        arguments.push(format!("--runqlat={}", peer.display()));
        arguments.extend(more.iter().map(ToString::to_string));
        let mut report = run.measure(what, "victim-cost", &arguments)?;
        serde_json::from_value(report["rounds"].take()).context("find the rounds")
    };
    let tools = ["--tools=glassbox,runqlat,empty", "--workloads=switches,syscalls,requests", "--slice-ms=80"];
    let tools = measure("workloads with and without the agent", run.choose(36, 8), &tools)?;
    let parts = ["--tools=empty,programs", "--workloads=switches", "--slice-ms=40"];
    let parts = measure("overhead per switch by part", run.choose(250, 60), &parts)?;
    let mut rows = WORKLOADS.map(|(key, name)| row(&tools, key, name)).to_vec();
    rows.push(part("added to such a switch by any program on that hook", &parts, "empty"));
    rows.push(part("added to such a switch by glassbox's programs, including the hook", &parts, "programs"));
    Ok(rows)
}

fn row(rounds: &[Value], key: &str, name: &str) -> Row {
    let of = |tool: &str| slowdown(rounds, tool, key);
    let (ours, theirs, empty) = (of("glassbox"), of("runqlat"), of("empty"));
    let off = Samples::new(rounds.iter().filter_map(|round| round["glassbox"][key]["off"].as_f64()));
    Row {
        what: format!("slowdown of {name}, {:.0} thousand per CPU second without a tool", off.median() / 1e3),
        budget: "≤ 1 %".into(),
        glassbox: text(&ours),
        peer: format!("runqlat {}; an empty program {}", text(&theirs), text(&empty)),
        verdict: verdict(&ours),
    }
}

fn part(what: &str, rounds: &[Value], tool: &str) -> Row {
    let added = Samples::new(pairs(rounds, tool, "switches").map(|(off, on)| 1e9 / on - 1e9 / off));
    let (low, high) = added.interval();
    let figure = format!("{:.0} ns ({low:.0} to {high:.0})", added.median());
    let share = text(&slowdown(rounds, tool, "switches"));
    let (glassbox, peer) = if tool == "empty" {
        (String::new(), format!("{figure}, {share}"))
    } else {
        (format!("{figure}, {share}"), String::new())
    };
    Row { what: what.into(), budget: String::new(), glassbox, peer, verdict: Verdict::None }
}

/// Operations per second without and with a tool, for each round.
pub(super) fn pairs(rounds: &[Value], tool: &str, workload: &str) -> impl Iterator<Item = (f64, f64)> {
    let of = move |round: &Value| {
        let measured = &round[tool][workload];
        Some((measured["off"].as_f64()?, measured["on"].as_f64()?))
    };
    rounds.iter().filter_map(of)
}

/// Relative slowdown compared with the measurements without the tool just before and after.
fn slowdown(rounds: &[Value], tool: &str, workload: &str) -> Samples {
    Samples::new(pairs(rounds, tool, workload).map(|(off, on)| off / on - 1.0))
}

fn text(samples: &Samples) -> String {
    let (low, high) = samples.interval();
    format!("{} ({} to {})", percent(samples.median()), percent(low), percent(high))
}

/// Met or missed only if the budget is outside the confidence interval.
fn verdict(samples: &Samples) -> Verdict {
    match samples.interval() {
        (_, high) if high <= BUDGET => Verdict::Met,
        (low, _) if low > BUDGET => Verdict::Missed,
        _ => Verdict::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(on: impl Fn(u32) -> f64) -> Vec<Value> {
        let round = |number| serde_json::json!({ "glassbox": { "x": { "off": 1000.0, "on": on(number) } } });
        (0..12).map(round).collect()
    }

    #[test]
    fn half_the_rate_is_a_slowdown_of_100_percent() {
        assert_eq!(slowdown(&rounds(|_| 500.0), "glassbox", "x").median(), 1.0);
    }

    #[test]
    fn a_budget_inside_the_confidence_interval_is_unclear() {
        let of = |on: fn(u32) -> f64| verdict(&slowdown(&rounds(on), "glassbox", "x"));
        assert_eq!(of(|_| 999.0), Verdict::Met);
        assert_eq!(of(|_| 900.0), Verdict::Missed);
        assert_eq!(of(|number| 960.0 + f64::from(number % 2) * 70.0), Verdict::Unclear);
    }

    #[test]
    fn a_round_without_results_is_ignored() {
        let rounds = [serde_json::json!({ "glassbox": { "x": { "off": 1.0 } } })];
        assert_eq!(slowdown(&rounds, "glassbox", "x").len(), 0);
    }
}
