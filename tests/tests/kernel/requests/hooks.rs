//! Which programs are in use, as metrics and `glassbox check` show it.

use glassbox::check::{Report, RowState};

use super::{
    super::{probe::ALONE, starts::latest},
    GET, OK, Server, config,
};

#[test]
fn the_hooks_in_use_are_in_the_metrics_and_in_check() {
    let _alone = ALONE.lock();
    {
        let report = Report::of(&config(), None);
        let state =
            |subject: &str| report.rows().iter().find(|row| row.subject == subject).map(|row| row.state);
        for subject in ["collector sockets", "collector requests"] {
            assert_eq!(state(subject), Some(RowState::Ok), "{subject}");
        }
        let finding = report.rows().iter().find(|row| row.subject == "collector sockets").unwrap();
        assert!(finding.finding.contains("cgroup_skb, sock_ops"), "{}", finding.finding);
    }
    let mut server = Server::new();
    server.connect().client(GET).server(OK);
    assert_eq!(server.counts().responses(), 1);
    let snapshot = latest(&server.setup.snapshots);
    let shown = |name: &str| {
        let program = snapshot.agent.programs.iter().find(|program| program.name == name);
        program.map(|program| (program.collector, program.hook, program.attached))
    };
    for (name, collector, hook) in [
        ("sockets_ingress", "sockets", "cgroup_skb"),
        ("sockets_egress", "sockets", "cgroup_skb"),
        ("sockets_operations", "sockets", "sock_ops"),
        ("requests_ingress", "requests", "tail_call"),
        ("requests_egress", "requests", "tail_call"),
    ] {
        assert_eq!(shown(name), Some((collector, hook, true)), "{name}");
    }
}
