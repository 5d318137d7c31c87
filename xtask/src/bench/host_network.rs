//! Overhead of counting packets, for a container in the host network, and of counting by protocol with connections, for
//! any container. Other processes have no overhead.
//!
//! No peer counts packets by container. Datagrams go over loopback from a socket to itself.

use super::{
    rounds::{Rounds, nanoseconds},
    run::Run,
    table::{Row, Verdict},
};

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let arguments = [
        format!("--rounds={}", run.choose(80, 20)),
        "--slice-ms=20".into(),
        "--tools=empty_packet,packets,sockets".into(),
        "--workloads=packets".into(),
    ];
    let rounds = Rounds::measure(run, "packets with and without counting", &arguments)?;
    let row = |tool: &str, container: &str| Row {
        what: format!(
            "added to a packet of {:.0} ns of a container{container}",
            rounds.without_ns(tool, "packets")
        ),
        budget: String::new(),
        glassbox: nanoseconds(&rounds.added_ns(tool, "packets")),
        peer: format!(
            "empty programs on both hooks {}",
            nanoseconds(&rounds.added_ns("empty_packet", "packets"))
        ),
        verdict: Verdict::None,
    };
    Ok(vec![row("packets", " on the host network"), row("sockets", " by the collector `sockets`")])
}
