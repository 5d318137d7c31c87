//! Processes that run listed programs. A program that the container has not run has no series.

use crate::{
    exposition::{
        family::{Draft, Family},
        sample::Emit,
    },
    snapshot::{
        ContainerRow,
        programs::{ProgramUsage, RESULTS, result},
    },
};

const SOURCE: &str = "tracepoints sched_process_exec and sched_process_exit; no series for a program that the \
                      container has not run";

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    counter("glassbox_container_program_started_total")
        .help(
            "Processes of the container that executed a program of the list `programs.names`. `program` is the \
             name of its file.",
        )
        .labels(&["program"])
        .container(|row, emit| each(row, emit, |program, emit| emit.count(program.counters.started))),
    Family::gauge("glassbox_container_program_running")
        .help("Processes of listed programs that have not ended. Does not include those older than the agent.")
        .source(SOURCE)
        .labels(&["program"])
        .container(|row, emit| each(row, emit, |program, emit| emit.count(program.running))),
    counter("glassbox_container_program_seconds_total")
        .help("Time from the start of processes of listed programs to their end, in seconds, counted when they end.")
        .labels(&["program"])
        .container(|row, emit| each(row, emit, |program, emit| emit.nanoseconds(program.counters.ended_ns))),
    counter("glassbox_container_program_exits_total")
        .help(
            "Ended processes of listed programs by result: exit status 0 (`success`), another one (`error`), killed \
             by a signal (`signal`). `replaced`: the process executed another program; no series while 0.",
        )
        .labels(&["program", "result"])
        .container(|row, emit| {
            for program in &row.programs {
                for (index, (result, count)) in RESULTS.into_iter().zip(program.counters.exits).enumerate() {
                    let shown = Some(count).filter(|count| *count > 0 || index != result::REPLACED);
                    emit.with(&[&program.name, result]).count(shown);
                }
            }
        }),
];

const fn counter(name: &'static str) -> Draft {
    Family::counter(name).source(SOURCE)
}

fn each(row: &ContainerRow, emit: &mut Emit<'_>, value: fn(&ProgramUsage, &mut Emit<'_>)) {
    for program in &row.programs {
        value(program, &mut emit.with(&[&program.name]));
    }
}
