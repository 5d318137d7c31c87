//! The command line of glassbox; everything else is in the library.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use glassbox::{check, cli, run};

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version come this way, too. Nothing can be done if they cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(cli::EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.verb {
        cli::Verb::Run(args) => run_agent(&args),
        cli::Verb::Check(args) => check_host(&args),
    }
}

fn run_agent(args: &cli::RunArgs) -> ExitCode {
    let configured = cli::load_config(args).and_then(|config| {
        log_to_stderr(&config.log)?;
        Ok(config)
    });
    match configured {
        Ok(config) => run::run(config).map_or_else(|error| fail(&error, 1), |()| ExitCode::SUCCESS),
        Err(error) => fail(&error, cli::EXIT_CONFIG),
    }
}

fn check_host(args: &cli::CheckArgs) -> ExitCode {
    let report = match cli::load_check_config(args) {
        Ok(config) => check::Report::of(&config),
        Err(error) if args.json => check::Report::of_unusable_configuration(&error),
        Err(error) => return fail(&error, 1),
    };
    let text = if args.json { report.to_json() } else { Ok(report.to_string()) };
    match text {
        Ok(text) => {
            // A reader that has seen enough, as head(1), is no error.
            let _ = writeln!(io::stdout(), "{}", text.trim_end());
            ExitCode::from(report.exit_code())
        }
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    // Nothing can be done if standard error is closed.
    let _ = writeln!(io::stderr(), "glassbox: {error:#}");
    ExitCode::from(code)
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
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => builder.without_time().init(),
        None => builder.init(),
    }
    Ok(())
}
