//! Overhead of tracing the NVIDIA driver's ioctls, for callers of the driver and for other system calls.
//!
//! No peer traces them. A plain file takes the place of the driver's control device, so that the duration of a call is almost
//! only the tracing.

use anyhow::Context as _;
use serde_json::Value;

use super::{
    run::Run,
    table::{Row, Verdict},
    victim::pairs,
};
use crate::samples::Samples;

const WORKLOADS: [(&str, &str); 3] = [
    ("driver_ioctls", "an ioctl on the NVIDIA driver, tracepoint method"),
    ("other_ioctls", "an ioctl on another file with the driver's ioctl type"),
    ("syscalls", "a system call that is not an ioctl"),
];

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let device = run.scratch_file("nvidiactl")?;
    let arguments = [
        format!("--rounds={}", run.choose(80, 20)),
        "--slice-ms=20".into(),
        format!("--device={}", device.display()),
        "--tools=empty_ioctl,driver".into(),
        "--workloads=driver_ioctls,other_ioctls,syscalls".into(),
    ];
    let mut report = run.measure("ioctls with and without tracing", "victim-cost", &arguments)?;
    let rounds: Vec<Value> = serde_json::from_value(report["rounds"].take()).context("find the rounds")?;
    Ok(WORKLOADS.map(|(key, name)| row(&rounds, key, name)).to_vec())
}

fn row(rounds: &[Value], workload: &str, name: &str) -> Row {
    let added =
        |tool: &str| Samples::new(pairs(rounds, tool, workload).map(|(off, on)| 1e9 / on - 1e9 / off));
    let (ours, empty) = (added("driver"), added("empty_ioctl"));
    let text = |samples: &Samples| {
        let (low, high) = samples.interval();
        format!("{:.0} ns ({low:.0} to {high:.0})", samples.median())
    };
    Row {
        what: format!("added to {name}"),
        budget: String::new(),
        glassbox: text(&ours),
        peer: format!("empty programs on both hooks {}", text(&empty)),
        verdict: Verdict::None,
    }
}
