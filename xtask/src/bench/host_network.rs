//! Overhead of counting packets, for a container in the host network, and of counting by protocol with connections, for
//! any container. Other processes have no overhead.
//!
//! No peer counts packets by container. Datagrams go over loopback from a socket to itself.

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
        "--slice-ms=20".into(),
        "--tools=empty_packet,packets,sockets".into(),
        "--workloads=packets".into(),
    ];
    let mut report = run.measure("packets with and without counting", "victim-cost", &arguments)?;
    let rounds: Vec<Value> = serde_json::from_value(report["rounds"].take()).context("find the rounds")?;
    let added =
        |tool: &str| Samples::new(pairs(&rounds, tool, "packets").map(|(off, on)| 1e9 / on - 1e9 / off));
    let text = |samples: &Samples| {
        let (low, high) = samples.interval();
        format!("{:.0} ns ({low:.0} to {high:.0})", samples.median())
    };
    let off = Samples::new(pairs(&rounds, "packets", "packets").map(|(off, _)| 1e9 / off));
    let row = |tool: &str, container: &str| Row {
        what: format!("added to a packet of {:.0} ns of a container{container}", off.median()),
        budget: String::new(),
        glassbox: text(&added(tool)),
        peer: format!("empty programs on both hooks {}", text(&added("empty_packet"))),
        verdict: Verdict::None,
    };
    Ok(vec![row("packets", " on the host network"), row("sockets", " by the collector `sockets`")])
}
