//! Slowdown of processes in a container while the agent runs.

use anyhow::Context as _;

use super::{
    rounds::{Rounds, nanoseconds, percentage, verdict},
    run::Run,
    table::{Row, Verdict},
};

/// Maximum slowdown.
const BUDGET: f64 = 0.01;
const WORKLOADS: [(&str, &str); 3] =
    [("switches", "context switches"), ("syscalls", "system calls"), ("requests", "loopback requests")];

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let peer = run.peers.runqlat.as_ref().context("find runqlat")?;
    let measure = |what, rounds: usize, more: &[&str]| {
        let mut arguments = vec![format!("--rounds={rounds}"), run.agent()];
        arguments.push(format!("--runqlat={}", peer.display()));
        arguments.extend(more.iter().map(ToString::to_string));
        Rounds::measure(run, what, &arguments)
    };
    let tools = ["--tools=glassbox,runqlat,empty", "--workloads=switches,syscalls,requests", "--slice-ms=80"];
    let tools = measure("workloads with and without the agent", run.choose(36, 8), &tools)?;
    let parts = ["--tools=empty,programs", "--workloads=switches", "--slice-ms=40"];
    let parts = measure("overhead per switch by part", run.choose(250, 60), &parts)?;
    let mut rows = WORKLOADS.map(|(key, name)| row(&tools, key, name)).to_vec();
    let part = |tool| {
        format!(
            "{}, {}",
            nanoseconds(&parts.added_ns(tool, "switches")),
            percentage(&parts.slowdown(tool, "switches"))
        )
    };
    let added = |what: &str, glassbox, peer| Row {
        what: format!("added to such a switch by {what}"),
        budget: String::new(),
        glassbox,
        peer,
        verdict: Verdict::None,
    };
    rows.push(added("any program on that hook", String::new(), part("empty")));
    rows.push(added("glassbox's programs, including the hook", part("programs"), String::new()));
    Ok(rows)
}

fn row(rounds: &Rounds, key: &str, name: &str) -> Row {
    let of = |tool: &str| rounds.slowdown(tool, key);
    let (ours, theirs, empty) = (of("glassbox"), of("runqlat"), of("empty"));
    Row {
        what: format!(
            "slowdown of {name}, {:.0} thousand per CPU second without a tool",
            1e6 / rounds.without_ns("glassbox", key)
        ),
        budget: "≤ 1 %".into(),
        glassbox: percentage(&ours),
        peer: format!("runqlat {}; an empty program {}", percentage(&theirs), percentage(&empty)),
        verdict: verdict(&ours, BUDGET),
    }
}
