//! Overhead of the scheduler's kernel programs per context switch.

use std::collections::HashMap;

use anyhow::Context as _;
use serde_json::Value;

use super::run::Run;
use super::table::{Row, Verdict};
use crate::samples::Samples;

/// Budget per switch in addition to an empty program, in ns.
const BUDGET_NS: f64 = 30.0;

/// Name, flags, and whether the budget applies. It does not apply to all hooks at once, which no host has, and to the
/// fallback hook for kernels without `sched_info`.
const CASES: [(&str, &[&str], bool); 4] = [
    ("switch, container", &["--tracked"], true),
    ("switch, untracked", &[], true),
    ("switch, container, all attached at once", &["--tracked", "--together"], false),
    ("switch + wakeup, fallback method, container", &["--tracked", "--wakeup-hook"], false),
];

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    CASES.into_iter().map(|case| row(run, case)).collect()
}

fn row(run: &Run, (what, flags, budgeted): (&str, &[&str], bool)) -> anyhow::Result<Row> {
    let mut arguments: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    arguments.push(format!("--rounds={}", run.choose(12, 8)));
    arguments.push(format!("--window-ms={}", run.choose(1000, 500)));
    let runqlat = run.peers.runqlat.as_ref().context("find runqlat")?;
    arguments.push(format!("--runqlat={}", runqlat.display()));
    let report = run.measure(what, "probe-cost", &arguments)?;
    let rounds = report["rounds"].as_array().context("find the rounds")?;
    let rounds = rounds.iter().map(net).collect::<anyhow::Result<Vec<_>>>()?;
    let of = |name: &str| Samples::new(rounds.iter().filter_map(|round| round.get(name).copied()));
    let (ours, theirs, empty) = (of("glassbox"), of("runqlat"), of("empty"));
    Ok(Row {
        what: format!("{what}: beyond an empty program, which takes {:.0} ns", empty.median()),
        budget: if budgeted { format!("≤ {BUDGET_NS} ns") } else { String::new() },
        glassbox: spread(&ours),
        peer: if theirs.len() == 0 {
            "runqlat is not installed".into()
        } else {
            format!("runqlat {}", spread(&theirs))
        },
        verdict: if budgeted { Verdict::at_most(ours.median(), BUDGET_NS) } else { Verdict::None },
    })
}

fn spread(samples: &Samples) -> String {
    format!("{:.0} ns ({:.0} to {:.0})", samples.median(), samples.quantile(0.0), samples.quantile(1.0))
}

/// Time per switch in ns by owner. The time of the empty program is subtracted for each run, except for the empty program
/// itself.
fn net(round: &Value) -> anyhow::Result<HashMap<String, f64>> {
    let mut totals: HashMap<String, (f64, f64)> = HashMap::new();
    for program in round["programs"].as_array().context("find the programs")? {
        let owner = program["owner"].as_str().context("find a program's owner")?;
        let figure = |name: &str| program[name].as_f64().with_context(|| format!("find a program's {name}"));
        let total = totals.entry(owner.to_owned()).or_default();
        total.0 += figure("runs")?;
        total.1 += figure("time_ns")?;
    }
    let &(switches, empty_ns) = totals.get("empty").context("find the empty program")?;
    anyhow::ensure!(switches > 10_000.0, "only {switches} switches in a round");
    let call_ns = empty_ns / switches;
    let net = |(owner, (runs, time_ns)): (String, (f64, f64))| {
        let per_switch = if owner == "empty" { call_ns } else { (time_ns - runs * call_ns) / switches };
        (owner, per_switch)
    };
    Ok(totals.into_iter().map(net).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_empty_program_is_subtracted_from_every_run() {
        let program = |owner: &str, runs: u64, time_ns: u64| -> Value {
            serde_json::json!({ "owner": owner, "runs": runs, "time_ns": time_ns })
        };
        let round = serde_json::json!({ "programs": [
            program("empty", 100_000, 5_000_000),
            program("glassbox", 100_000, 7_500_000),
            program("runqlat", 100_000, 20_000_000),
            program("runqlat", 50_000, 10_000_000),
        ] });
        let net = net(&round).unwrap();
        assert_eq!((net["empty"], net["glassbox"], net["runqlat"]), (50.0, 25.0, 225.0));
    }

    #[test]
    fn a_round_without_switches_is_an_error() {
        let round = serde_json::json!({ "programs": [{ "owner": "empty", "runs": 3, "time_ns": 150 }] });
        assert!(net(&round).unwrap_err().to_string().contains("only 3 switches"));
    }
}
