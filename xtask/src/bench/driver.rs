//! Overhead of tracing the NVIDIA driver's ioctls, for callers of the driver and for other system calls.
//!
//! No peer traces them. A plain file takes the place of the driver's control device, so that the duration of a call is almost
//! only the tracing.

use super::{
    rounds::{Rounds, nanoseconds},
    run::Run,
    table::{Row, Verdict},
};

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
    let rounds = Rounds::measure(run, "ioctls with and without tracing", &arguments)?;
    let added = |tool, workload| nanoseconds(&rounds.added_ns(tool, workload));
    let row = |(workload, name)| Row {
        what: format!("added to {name}"),
        budget: String::new(),
        glassbox: added("driver", workload),
        peer: format!("empty programs on both hooks {}", added("empty_ioctl", workload)),
        verdict: Verdict::None,
    };
    Ok(WORKLOADS.map(row).to_vec())
}
