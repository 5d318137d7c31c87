//! Results of the program `victim-cost`: in each round, the rates of workloads without a tool and with it.

use anyhow::Context as _;
use serde_json::Value;

use super::{
    run::Run,
    table::{Verdict, percent},
};
use crate::samples::Samples;

/// Operations per CPU second, by round, tool and workload.
pub(super) struct Rounds(Vec<Value>);

impl Rounds {
    /// Runs `victim-cost`.
    pub(super) fn measure(run: &Run, what: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let mut report = run.measure(what, "victim-cost", arguments)?;
        Ok(Self(serde_json::from_value(report["rounds"].take()).context("find the rounds")?))
    }

    /// Rates without the tool, just before and after, and with it.
    fn pairs(&self, tool: &str, workload: &str) -> impl Iterator<Item = (f64, f64)> {
        self.0.iter().filter_map(move |round| pair(round, tool, workload))
    }

    /// CPU time of an operation without the tool, in ns.
    pub(super) fn without_ns(&self, tool: &str, workload: &str) -> f64 {
        Samples::new(self.pairs(tool, workload).map(|(off, _)| 1e9 / off)).median()
    }

    /// What the tool adds to the CPU time of an operation, in ns.
    pub(super) fn added_ns(&self, tool: &str, workload: &str) -> Samples {
        Samples::new(self.pairs(tool, workload).map(added_ns))
    }

    /// What one tool adds beyond another in the same round, in ns.
    pub(super) fn beyond_ns(&self, tool: &str, other: &str, workload: &str) -> Samples {
        let added = |round: &Value, tool: &str| pair(round, tool, workload).map(added_ns);
        Samples::new(self.0.iter().filter_map(|round| Some(added(round, tool)? - added(round, other)?)))
    }

    /// What the tool adds to the CPU time of an operation, as a ratio.
    pub(super) fn slowdown(&self, tool: &str, workload: &str) -> Samples {
        Samples::new(self.pairs(tool, workload).map(|(off, on)| off / on - 1.0))
    }
}

fn pair(round: &Value, tool: &str, workload: &str) -> Option<(f64, f64)> {
    let measured = &round[tool][workload];
    Some((measured["off"].as_f64()?, measured["on"].as_f64()?))
}

fn added_ns((off, on): (f64, f64)) -> f64 {
    1e9 / on - 1e9 / off
}

/// A median in ns with its confidence interval.
pub(super) fn nanoseconds(samples: &Samples) -> String {
    let (low, high) = samples.interval();
    format!("{:.0} ns ({low:.0} to {high:.0})", samples.median())
}

/// A median in percent with its confidence interval.
pub(super) fn percentage(samples: &Samples) -> String {
    let (low, high) = samples.interval();
    format!("{} ({} to {})", percent(samples.median()), percent(low), percent(high))
}

/// Met or missed only if the budget is outside the confidence interval.
pub(super) fn verdict(samples: &Samples, budget: f64) -> Verdict {
    match samples.interval() {
        (_, high) if high <= budget => Verdict::Met,
        (low, _) if low > budget => Verdict::Missed,
        _ => Verdict::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(on: impl Fn(u32) -> f64) -> Rounds {
        let round = |number| serde_json::json!({ "glassbox": { "x": { "off": 1000.0, "on": on(number) } } });
        Rounds((0..12).map(round).collect())
    }

    #[test]
    fn half_the_rate_is_a_slowdown_of_100_percent() {
        let rounds = rounds(|_| 500.0);
        assert_eq!(rounds.slowdown("glassbox", "x").median(), 1.0);
        assert_eq!(
            (rounds.without_ns("glassbox", "x"), rounds.added_ns("glassbox", "x").median()),
            (1e6, 1e6)
        );
    }

    #[test]
    fn a_budget_inside_the_confidence_interval_is_unclear() {
        let of = |on: fn(u32) -> f64| verdict(&rounds(on).slowdown("glassbox", "x"), 0.01);
        assert_eq!(of(|_| 999.0), Verdict::Met);
        assert_eq!(of(|_| 900.0), Verdict::Missed);
        assert_eq!(of(|number| 960.0 + f64::from(number % 2) * 70.0), Verdict::Unclear);
    }

    #[test]
    fn a_round_without_results_is_ignored() {
        let rounds = Rounds(vec![serde_json::json!({ "glassbox": { "x": { "off": 1.0 } } })]);
        assert_eq!(rounds.slowdown("glassbox", "x").len(), 0);
    }
}
