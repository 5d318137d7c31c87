//! What the developers run: `cargo xtask <verb>`. One verb, one file; the other files are nouns that verbs share.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod archive;
mod bench;
mod child;
mod counts;
mod dashboards;
mod debian;
mod failures;
mod gpu_check;
mod idle;
mod machine;
mod progress;
mod prometheus;
mod report;
mod run;
mod samples;
mod setup;
mod step;
mod test;
mod toolchain;
mod vm;
mod workspace;

/// Builds, runs, tests and measures glassbox.
///
/// New here? `cargo xtask run` sets everything up, builds the agent and shows it at work beside a Prometheus.
/// Before you send a change: `cargo xtask test`.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// In the order a newcomer needs them. A verb's own file has its arguments.
#[derive(Subcommand, Debug)]
enum Verb {
    Setup(setup::Arguments),
    Run(run::Arguments),
    Test(test::Arguments),
    Vm(vm::Arguments),
    Dashboards(dashboards::Arguments),
    Bench(bench::Arguments),
    GpuCheck(gpu_check::Arguments),
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    if let Err(error) = child::signals::install() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let result = match verb {
        Verb::Setup(arguments) => setup::main(&arguments),
        Verb::Run(arguments) => run::main(&arguments),
        Verb::GpuCheck(arguments) => gpu_check::main(&arguments),
        Verb::Dashboards(arguments) => dashboards::main(&arguments),
        Verb::Vm(arguments) if arguments.prepare => vm::prepare(&arguments),
        Verb::Test(arguments) => return test::main(&arguments),
        Verb::Vm(arguments) => return vm::main(&arguments),
        Verb::Bench(arguments) => return bench::main(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
