//! How much slower a process in a container gets while the agent runs.

use anyhow::Context as _;
use serde_json::Value;

use super::run::Run;
use super::samples::Samples;
use super::table::{Row, Verdict, percent};

/// Most that a workload may lose.
const BUDGET: f64 = 0.01;
const WORKLOADS: [(&str, &str); 3] =
    [("switches", "context switches"), ("syscalls", "system calls"), ("requests", "requests")];

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let mut arguments = vec![format!("--rounds={}", run.choose(32, 8)), run.agent()];
    arguments.push(format!("--slice-ms={}", run.choose(250, 200)));
    let peer = run.peers.runqlat.as_ref().context("find runqlat")?;
    arguments.push(format!("--runqlat={}", peer.display()));
    let report = run.measure("victims, off and on", "victim-cost", &arguments)?;
    let rounds = report["rounds"].as_array().context("find the rounds")?;
    Ok(WORKLOADS.map(|(key, name)| row(rounds, key, name)).to_vec())
}

fn row(rounds: &[Value], key: &str, name: &str) -> Row {
    let of = |state: &str| slowdown(rounds, state, key);
    let (ours, theirs, empty) = (of("glassbox"), of("runqlat"), of("empty"));
    let off = Samples::new(rounds.iter().filter_map(|round| round["off"][key].as_f64()));
    Row {
        what: format!("slowdown of {name}, {:.0} thousand a CPU second when off", off.median() / 1e3),
        budget: "≤ 1 %".into(),
        glassbox: text(&ours),
        peer: format!("runqlat {}; an empty program {}", text(&theirs), text(&empty)),
        verdict: verdict(&ours),
    }
}

/// By how much a workload took longer than in the same round with everything off.
fn slowdown(rounds: &[Value], state: &str, workload: &str) -> Samples {
    let of = |round: &Value| Some(round["off"][workload].as_f64()? / round[state][workload].as_f64()? - 1.0);
    Samples::new(rounds.iter().filter_map(of))
}

fn text(samples: &Samples) -> String {
    let (low, high) = samples.interval();
    format!("{} ({} to {})", percent(samples.median()), percent(low), percent(high))
}

/// Met or missed only where the noise leaves no doubt.
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
        let round = |number| serde_json::json!({ "off": { "x": 1000.0 }, "glassbox": { "x": on(number) } });
        (0..12).map(round).collect()
    }

    #[test]
    fn what_takes_twice_as_long_is_100_percent_slower() {
        assert_eq!(slowdown(&rounds(|_| 500.0), "glassbox", "x").median(), 1.0);
    }

    #[test]
    fn noise_around_the_budget_is_neither_met_nor_missed() {
        let of = |on: fn(u32) -> f64| verdict(&slowdown(&rounds(on), "glassbox", "x"));
        assert_eq!(of(|_| 999.0), Verdict::Met);
        assert_eq!(of(|_| 900.0), Verdict::Missed);
        assert_eq!(of(|number| 960.0 + f64::from(number % 2) * 70.0), Verdict::Unclear);
    }

    #[test]
    fn a_round_without_figures_is_left_out() {
        let rounds = [serde_json::json!({ "off": { "x": 1.0 } })];
        assert_eq!(slowdown(&rounds, "glassbox", "x").len(), 0);
    }
}
