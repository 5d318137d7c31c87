//! Overhead of following requests, for a container that serves them. Other processes have no overhead.
//!
//! Single requests and packets: server and client are one process with the messages of nginx and wrk, so that the time of a
//! request is that of both. Servers: nginx under wrk, and Python. The agent: nginx at a constant rate. No peer follows
//! requests by container without a look at every system call.

use anyhow::Context as _;

use super::{
    rounds::{Rounds, nanoseconds, percentage, verdict},
    run::Run,
    table::{Row, Verdict, percent},
};

/// Requests per second while the agent's CPU usage is measured.
const RATE: u32 = 10_000;
/// The programs that are compared: on the hooks of `requests`, which include those of `sockets`.
const TOOLS: &str = "--tools=empty_packet,sockets,requests";

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let messages = [
        format!("--rounds={}", run.choose(80, 20)),
        "--slice-ms=40".into(),
        TOOLS.into(),
        "--workloads=served_requests,body_packets".into(),
    ];
    let messages = Rounds::measure(run, "requests with and without following them", &messages)?;
    let server = |name: &str, rounds: usize, slice_ms: u32| {
        let arguments = [
            format!("--rounds={rounds}"),
            format!("--slice-ms={slice_ms}"),
            TOOLS.into(),
            format!("--workloads={name}"),
        ];
        Rounds::measure(run, &format!("{name} with and without following requests"), &arguments)
    };
    let veth = server("nginx_veth", run.choose(60, 20), 100)?;
    let loopback = server("nginx", run.choose(60, 20), 100)?;
    let python = server("python", run.choose(60, 12), 200)?;
    Ok(vec![
        added(&messages, "served_requests", "a request", 450.0),
        added(&messages, "body_packets", "a packet without the start of a message", 60.0),
        slowdown(&veth, "nginx_veth", "nginx with wrk over a veth pair", 0.03),
        slowdown(&loopback, "nginx", "nginx with wrk over loopback", 0.03),
        slowdown(&python, "python", "a Python server", 0.002),
        agent(run)?,
    ])
}

/// What the programs add to an operation, with a budget beyond the empty programs.
fn added(rounds: &Rounds, workload: &str, what: &str, budget_ns: f64) -> Row {
    let of = |tool| rounds.added_ns(tool, workload);
    let (all, sockets, empty) = (of("requests"), of("sockets"), of("empty_packet"));
    let beyond = rounds.beyond_ns("requests", "empty_packet", workload);
    Row {
        what: format!(
            "added to {what} of {:.0} ns by the collectors `sockets` and `requests`",
            rounds.without_ns("requests", workload)
        ),
        budget: format!("≤ {budget_ns} ns beyond the empty programs"),
        glassbox: format!(
            "{}; `sockets` alone {}; beyond the empty programs {}",
            nanoseconds(&all),
            nanoseconds(&sockets),
            nanoseconds(&beyond)
        ),
        peer: format!("empty programs on both hooks {}", nanoseconds(&empty)),
        verdict: verdict(&beyond, budget_ns),
    }
}

/// The slowdown of a server, with the hooks.
fn slowdown(rounds: &Rounds, workload: &str, what: &str, budget: f64) -> Row {
    let of = |tool| rounds.slowdown(tool, workload);
    let (all, sockets, empty) = (of("requests"), of("sockets"), of("empty_packet"));
    Row {
        what: format!(
            "slowdown of {what}, {:.0} µs of CPU time per request without a tool, by the collectors `sockets` and `requests`",
            rounds.without_ns("requests", workload) / 1e3
        ),
        budget: format!("≤ {} %", budget * 100.0),
        glassbox: format!(
            "{}, {}; `sockets` alone {}",
            percentage(&all),
            nanoseconds(&rounds.added_ns("requests", workload)),
            percentage(&sockets)
        ),
        peer: format!("empty programs on both hooks {}", percentage(&empty)),
        verdict: verdict(&all, budget),
    }
}

/// The agent's CPU usage while a container serves requests.
fn agent(run: &Run) -> anyhow::Result<Row> {
    let arguments = [format!("--seconds={}", run.choose(30, 8)), format!("--rate={RATE}")];
    let report = run.measure("the agent while requests are served", "served-cost", &arguments)?;
    let figure = |name: &str| report[name].as_f64().with_context(|| format!("find {name}"));
    let (idle, serving) = (figure("cpu_idle_ratio")?, figure("cpu_serving_ratio")?);
    Ok(Row {
        what: format!(
            "agent CPU, a container that serves {:.0} requests per second",
            figure("requests_per_second")?
        ),
        budget: "≤ 1 %".into(),
        glassbox: format!("{}; without requests {}", percent(serving), percent(idle)),
        peer: "no peer follows requests by container".into(),
        verdict: Verdict::at_most(serving, 0.01),
    })
}
