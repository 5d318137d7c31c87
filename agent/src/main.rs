//! The command line of glassbox; everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use glassbox::{check, cli, run};

fn main() -> ExitCode {
    match dispatch(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("glassbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    match cli.verb {
        cli::Verb::Run(args) => {
            let config = cli::load_config(&args)?;
            log_to_stderr(&config.log)?;
            run::run(config)?;
            Ok(ExitCode::SUCCESS)
        }
        cli::Verb::Check(args) => {
            let config = cli::load_check_config(&args)?;
            let report = check::Report::of(&config);
            print!("{report}");
            Ok(if report.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Plain lines to stderr; systemd adds the time itself.
fn log_to_stderr(filter: &str) -> anyhow::Result<()> {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("log filter {filter:?}: {error}; try info, debug, or glassbox=debug")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => builder.without_time().init(),
        None => builder.init(),
    }
    Ok(())
}
