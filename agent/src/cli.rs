//! The command line. Its flags override the configuration file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, address, log_filter},
    health, version,
};

/// Path of the configuration file if `--config` is not given.
pub const CONFIG_PATH: &str = "/etc/glassbox/agent.toml";

/// Exit status if the command line is invalid: EX_USAGE of sysexits.h. clap's default, 2, is taken: `glassbox check`
/// uses it.
pub const EXIT_USAGE: u8 = 64;
/// Exit status of `glassbox run` if the configuration is invalid: EX_CONFIG of sysexits.h. glassbox.service does not
/// restart the agent in this case.
pub const EXIT_CONFIG: u8 = 78;

/// `glassbox`.
#[derive(Debug, Parser)]
#[command(
    name = "glassbox",
    version = version::LONG,
    about = "Host agent that makes GPU containers transparent",
    long_about = "Host agent that makes GPU containers transparent.\n\n\
        One agent runs per host. eBPF programs measure each container's CPU run-queue latency, on-CPU time and \
        calls to the NVIDIA driver. The agent combines them with cgroup files, network counters, NVML and the \
        container runtimes' metadata, and exposes them to Prometheus. Containers are not modified: no sidecar, \
        no preload, no restart.",
    after_help = "Run `glassbox check` first: it reports what works on this host, what does not, and why.",
    after_long_help = "\
Start here:
  glassbox check                        what works here, what does not, and why
  glassbox config                       every key with its current value
  glassbox run                          run the agent in the foreground
  glassbox health                       whether the running agent is healthy
  curl http://127.0.0.1:9966/metrics    the metrics
  curl http://127.0.0.1:9966/healthz/container/NAME
                                        whether a container is stuck
  http://127.0.0.1:9966/                a status page

Configuration:
  The file given by --config, which must exist, or else
  /etc/glassbox/agent.toml, if it exists. Every key has a default, so no file
  is needed. The file shipped with glassbox documents every key.

Privileges:
  Root, or these capabilities:
    CAP_BPF, CAP_PERFMON   eBPF programs
    CAP_SYS_PTRACE         network metrics, disk usage, reasons of stuck
                           containers
    CAP_DAC_READ_SEARCH    files regardless of their mode
    CAP_NET_ADMIN          sockets, requests and health of containers, and
                           traffic of containers on the host network
  Metadata of Docker containers needs access to /var/run/docker.sock. With
  fewer privileges, glassbox runs without the metrics that need them, and
  `glassbox check` reports what is missing.

Kernel:
  Linux 5.10 or later with BTF (/sys/kernel/btf/vmlinux) for eBPF programs.
  Without BTF, cgroup and network metrics still work.

Exit status of glassbox run:
  0 after SIGTERM or SIGINT, 64 if the command line is wrong, 78 if the
  configuration is wrong, 1 if the agent cannot run for another reason. See
  `glassbox check --help` for the exit status of glassbox check.",
    arg_required_else_help = true
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub verb: Verb,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the agent until SIGTERM or SIGINT
    #[command(after_help = "Examples:\n  glassbox run\n  glassbox run --listen 0.0.0.0:9966\n  \
                      glassbox run --log glassbox=debug")]
    Run(RunArgs),
    /// Check what works on this host, what does not, and why
    Check(CheckArgs),
    /// Ask the agent on this host whether it is healthy, for health checks of containers
    Health(HealthArgs),
    /// Print the effective configuration as TOML: the file and every default
    #[command(
        after_help = "Examples:\n  glassbox config\n  glassbox config --config new.toml    check a file before using it"
    )]
    Config(RunArgs),
}

/// Flags of `glassbox run` and `glassbox config`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Configuration file [default: /etc/glassbox/agent.toml, if it exists]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Address of the HTTP listener, such as 0.0.0.0:9966 [default: 127.0.0.1:9966]
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    pub listen: Option<SocketAddr>,
    /// Web configuration file: TLS and basic authentication, in the format of Prometheus' exporters [default: none]
    #[arg(long, value_name = "PATH")]
    pub web_config: Option<PathBuf>,
    /// Log level: error, warn, info, debug, trace or off; or per module, as in glassbox=debug,info [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Flags of `glassbox check`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
States:
  ok              works
  degraded        enabled, but it does not work here, or only in part
  off             disabled in the configuration
  not applicable  does not apply to this host, for example without a GPU
  FATAL           the agent cannot run

Exit status:
  0   everything that is enabled works
  2   the agent can run, but at least one row is degraded
  1   the agent cannot run
  64  the command line is wrong")]
pub struct CheckArgs {
    /// Configuration file [default: /etc/glassbox/agent.toml, if it exists]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Print the report as JSON; docs/check.md describes the format
    #[arg(long)]
    pub json: bool,
}

/// Flags of `glassbox health`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Asks /healthz at the address where the agent with this configuration listens, with TLS if the web configuration has it.
/healthz needs no password. The certificate of the agent is not verified. Prints one line.

Examples:
  glassbox health
  glassbox health --config /etc/glassbox/agent.toml --timeout 5

Exit status:
  0   the agent is healthy
  1   the agent is unhealthy, does not respond, or does not run; or the configuration is wrong
  64  the command line is wrong")]
pub struct HealthArgs {
    /// Configuration file of the agent [default: /etc/glassbox/agent.toml, if it exists]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Address of the agent's HTTP listener, as for `glassbox run` [default: 127.0.0.1:9966]
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    pub listen: Option<SocketAddr>,
    /// Web configuration file of the agent, as for `glassbox run` [default: none]
    #[arg(long, value_name = "PATH")]
    pub web_config: Option<PathBuf>,
    /// Certificate to identify with, if the agent requires client certificates
    #[arg(long, value_name = "PATH", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// Private key of that certificate
    #[arg(long, value_name = "PATH", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// Timeout for the whole check, in seconds, 1 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub timeout: u64,
}

/// What `glassbox health` asks: the agent of the configuration, overridden by the flags.
///
/// # Errors
/// As for [`load_config`].
pub fn health_options(args: &HealthArgs) -> anyhow::Result<health::Options> {
    let HealthArgs { config, listen, web_config, .. } = args.clone();
    let config = load_config(&RunArgs { config, listen, web_config, log: None })?;
    let client = args.cert_file.clone().zip(args.key_file.clone());
    Ok(health::Options::of(&config, client, Duration::from_secs(args.timeout)))
}

/// The configuration of `glassbox run`: defaults, overridden by the file, overridden by the flags.
///
/// # Errors
/// The file cannot be read or is invalid. The message contains the position and the problem.
pub fn load_config(args: &RunArgs) -> anyhow::Result<Config> {
    let mut config = from_file(args.config.as_deref(), Path::new(CONFIG_PATH))?;
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(path) = &args.web_config {
        config.server.web_config.clone_from(path);
    }
    if let Some(log) = &args.log {
        log_filter::parse(log).map_err(|problem| anyhow::anyhow!("--log: {problem}"))?;
        config.log.clone_from(log);
    }
    Ok(config)
}

/// The configuration of `glassbox check`: defaults, overridden by the file.
///
/// # Errors
/// As for [`load_config`].
pub fn load_check_config(args: &CheckArgs) -> anyhow::Result<Config> {
    from_file(args.config.as_deref(), Path::new(CONFIG_PATH))
}

/// Loads a file. A file given by `--config` must exist; the default file may be missing.
fn from_file(named: Option<&Path>, usual: &Path) -> anyhow::Result<Config> {
    let path = match named {
        Some(path) => path,
        None if usual.try_exists().with_context(|| format!("look for {}", usual.display()))? => usual,
        None => return Ok(Config::default()),
    };
    Ok(Config::load(path)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(words: &[&str]) -> Verb {
        Cli::try_parse_from(std::iter::once(&"glassbox").chain(words)).unwrap().verb
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_override_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\nlog = \"warn\"\ntick_ms = 500\n").unwrap();
        let file = path.to_str().unwrap();
        let Verb::Run(args) = parsed(&["run", "--config", file, "--listen", "[::1]:2"]) else {
            panic!("not `run`")
        };
        let config = load_config(&args).unwrap();
        assert_eq!(config.listen, "[::1]:2".parse().unwrap());
        assert_eq!(config.log, "warn");
        assert_eq!(*config.tick_ms, Duration::from_millis(500));
    }

    #[test]
    fn a_file_given_by_config_must_exist() {
        let Verb::Check(args) = parsed(&["check", "--config", "/nowhere/agent.toml"]) else {
            panic!("not `check`")
        };
        let error = format!("{:#}", load_check_config(&args).unwrap_err());
        assert!(error.contains("/nowhere/agent.toml"), "{error}");
    }

    #[test]
    fn the_default_file_may_be_missing() {
        assert_eq!(from_file(None, Path::new("/nowhere/agent.toml")).unwrap(), Config::default());
    }

    #[test]
    fn the_help_names_the_configuration_file_and_the_required_privileges() {
        let help = Cli::command().render_long_help().to_string();
        for word in [CONFIG_PATH, "glassbox check", "CAP_BPF", "127.0.0.1:9966", "/var/run/docker.sock"] {
            assert!(help.contains(word), "{word}");
        }
        // Longer lines would wrap on a terminal of 80 columns.
        let (_, written) = help.split_once("Start here:").unwrap();
        assert!(written.lines().all(|line| line.len() <= 80));
    }
}
