//! Developer commands: `cargo xtask <subcommand>`. Each subcommand has a file; the other files are shared by subcommands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod archive;
mod bench;
mod child;
mod counts;
mod dashboards;
mod debian;
mod dist;
mod failures;
mod gpu_check;
mod idle;
mod machine;
mod node_exporter;
mod parallel;
mod pictures;
mod progress;
mod prometheus;
mod report;
mod results;
mod run;
mod samples;
mod setup;
mod step;
mod test;
mod toolchain;
mod unpacked;
mod vm;
mod workspace;

/// Builds, runs, tests and measures glassbox.
///
/// To start: `cargo xtask run` installs missing dependencies, builds the agent and runs it with a Prometheus.
/// Before you submit a change: `cargo xtask test`.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// In the order in which a new developer needs them, because `--help` shows this order.
#[derive(Subcommand, Debug)]
enum Command {
    Setup(setup::Arguments),
    Run(run::Arguments),
    Test(test::Arguments),
    Vm(vm::Arguments),
    Dashboards(dashboards::Arguments),
    Pictures(pictures::Arguments),
    Bench(bench::Arguments),
    GpuCheck(gpu_check::Arguments),
    Dist(dist::Arguments),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Err(error) = child::signals::install() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let result = match command {
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Run(arguments) => run::main(&arguments),
        Command::GpuCheck(arguments) => gpu_check::main(&arguments),
        Command::Dist(arguments) => dist::main(&arguments),
        Command::Dashboards(arguments) => dashboards::main(&arguments),
        Command::Pictures(arguments) => pictures::main(&arguments),
        Command::Test(arguments) => return test::main(&arguments),
        Command::Vm(arguments) => return vm::main(&arguments),
        Command::Bench(arguments) => return bench::main(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
