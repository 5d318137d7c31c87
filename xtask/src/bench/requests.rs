//! Overhead of following requests, for a container that serves them. Other processes have no overhead.
//!
//! The server and its client are one process with the messages of nginx and wrk, so that the time of a request is that of both.
//! No peer follows requests by container without a look at every system call.

use anyhow::Context as _;
use serde_json::Value;

use super::{
    run::Run,
    table::{Row, Verdict},
    victim::pairs,
};
use crate::samples::Samples;

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let arguments = [
        format!("--rounds={}", run.choose(80, 20)),
        "--slice-ms=40".into(),
        "--tools=empty_packet,sockets,requests".into(),
        "--workloads=served_requests,body_packets".into(),
    ];
    let mut report = run.measure("requests with and without following them", "victim-cost", &arguments)?;
    let rounds: Vec<Value> = serde_json::from_value(report["rounds"].take()).context("find the rounds")?;
    let row = |workload: &str, what: &str, budget: &str| {
        let added =
            |tool: &str| Samples::new(pairs(&rounds, tool, workload).map(|(off, on)| 1e9 / on - 1e9 / off));
        let text = |samples: &Samples| {
            let (low, high) = samples.interval();
            format!("{:.0} ns ({low:.0} to {high:.0})", samples.median())
        };
        let off = Samples::new(pairs(&rounds, "requests", workload).map(|(off, _)| 1e9 / off));
        Row {
            what: format!(
                "added to {what} of {:.0} ns by the collectors `sockets` and `requests`",
                off.median()
            ),
            budget: budget.to_owned(),
            glassbox: format!("{}; `sockets` alone {}", text(&added("requests")), text(&added("sockets"))),
            peer: format!("empty programs on both hooks {}", text(&added("empty_packet"))),
            verdict: Verdict::None,
        }
    };
    Ok(vec![
        row("served_requests", "a request", "≤ 450 ns beyond the empty programs"),
        row("body_packets", "a packet without the start of a message", "≤ 60 ns beyond the empty programs"),
    ])
}
