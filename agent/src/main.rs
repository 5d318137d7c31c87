//! The command line of glassbox; everything else is in the library.

use std::{
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use glassbox::{check, cli, config::log_filter, log_output, run};

fn main() -> ExitCode {
    match dispatch(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // `eprintln!` would panic where standard error cannot be written.
            let _ = writeln!(std::io::stderr(), "glassbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    match cli.verb {
        cli::Verb::Run(args) => {
            let config = cli::load_config(&args)?;
            let filter = log_filter::parse(&config.log).map_err(|problem| anyhow!("log: {problem}"))?;
            log_output::start(filter)?;
            run::run(config)?;
            Ok(ExitCode::SUCCESS)
        }
        cli::Verb::Check(args) => {
            let config = cli::load_check_config(&args)?;
            let report = check::Report::of(&config);
            print(&report.to_string())?;
            Ok(if report.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Writes to standard output. A reader that has seen enough (`| head -3`) is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        _ => Ok(()),
    }
}
