//! The command line of glassbox; everything else is in the library.

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use glassbox::{check, cli, config::log_filter, health, log_output, run, sandbox::Sandbox, server::web::Web};

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` arrive here, too. If they cannot be printed, there is nothing to do about it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(cli::EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.verb {
        cli::Verb::Run(args) => run_agent(&args),
        cli::Verb::Check(args) => check_host(&args),
        cli::Verb::Health(args) => ask_health(&args),
        cli::Verb::Config(args) => show_config(&args),
    }
}

fn run_agent(args: &cli::RunArgs) -> ExitCode {
    let configured = cli::load_config(args).and_then(|config| {
        let filter = log_filter::parse(&config.log).map_err(|problem| anyhow!("log: {problem}"))?;
        let log = log_output::start(filter)?;
        let web = Web::open(config.server.web_config())?;
        let args = args.clone();
        let source = run::Source { load: Arc::new(move || cli::load_config(&args)), log };
        Ok((config, web, source))
    });
    match configured {
        Ok((config, web, source)) => {
            run::run(config, web, source).map_or_else(|error| fail(&error, 1), |()| ExitCode::SUCCESS)
        }
        Err(error) => fail(&error, cli::EXIT_CONFIG),
    }
}

fn show_config(args: &cli::RunArgs) -> ExitCode {
    let validated = cli::load_config(args).and_then(|config| {
        Web::open(config.server.web_config())?;
        Ok(config)
    });
    let text = match validated {
        Ok(config) => config.to_toml(),
        Err(error) => return fail(&error, cli::EXIT_CONFIG),
    };
    match text.and_then(|text| print(text.trim_end())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn check_host(args: &cli::CheckArgs) -> ExitCode {
    let report = match cli::load_check_config(args) {
        Ok(config) => check::Report::of(&config, Some(&Sandbox::enter(&config))),
        Err(error) if args.json => check::Report::of_unusable_configuration(&error),
        Err(error) => return fail(&error, 1),
    };
    let text = if args.json { report.to_json() } else { Ok(report.to_string()) };
    match text.and_then(|text| print(text.trim_end())) {
        Ok(()) => ExitCode::from(report.exit_code()),
        Err(error) => fail(&error, 1),
    }
}

fn ask_health(args: &cli::HealthArgs) -> ExitCode {
    let asked = cli::health_options(args).and_then(|options| health::ask(&options));
    match asked.and_then(|line| print(&line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

/// Writes a text to standard output. It is not an error if the reader closes the pipe early, as head(1) does.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        _ => Ok(()),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    // If standard error is closed, there is nothing to do about it.
    let _ = writeln!(io::stderr(), "glassbox: {error:#}");
    ExitCode::from(code)
}
