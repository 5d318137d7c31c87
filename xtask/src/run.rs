//! `cargo xtask run` builds the agent and runs it with a Prometheus, starting from a fresh clone.
//!
//! Both run until Ctrl-C or until one of them exits; then the other one is terminated.

mod build;
mod demo;
mod processes;
mod prometheus;
mod ready;
mod welcome;

use std::io::{IsTerminal as _, stdin};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{setup, step, workspace};
use processes::Processes;

/// Install missing dependencies, build the agent and run it with a Prometheus that scrapes it.
///
/// The agent listens on the first free port of 127.0.0.1 from 9966, unless the agent arguments contain --listen.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Run with simulated GPUs and containers; no GPU is needed. All output is marked as a demo
    #[arg(long)]
    pub(crate) demo: bool,
    /// Do not run Prometheus
    #[arg(long)]
    pub(crate) no_prometheus: bool,
    /// Skip setup and build. `cargo xtask run` passes this to itself through sudo
    #[arg(long, hide = true)]
    pub(crate) built: bool,
    /// Arguments of `glassbox run`
    #[arg(last = true, value_name = "AGENT ARGS")]
    pub(crate) agent: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let agent = workspace::target().join("release/glassbox");
    if !arguments.built {
        setup::main(&setup::Arguments::default())?;
        build::build(arguments.demo)?;
    }
    let server = if arguments.no_prometheus { None } else { find_prometheus() };
    if !workspace::is_root() {
        return run_with_sudo(arguments);
    }
    anyhow::ensure!(
        !arguments.demo || flag_value(&arguments.agent, "--config").is_none(),
        "--demo cannot be used with --config, because it generates the agent's configuration"
    );
    let listen = listen_address(&arguments.agent)?;
    let scraped = connect_address(listen);
    let mut processes = Processes::default();

    let demo = if arguments.demo { Some(demo::start(&mut processes, scraped)?) } else { None };
    println!("Starting the agent");
    let mut command = Command::new(&agent);
    command.arg("run").args(&arguments.agent);
    if let Some(configuration) = &demo {
        command.arg("--config").arg(configuration);
    }
    if flag_value(&arguments.agent, "--listen").is_none() {
        command.args(["--listen", &listen.to_string()]);
    }
    processes.start("glassbox", command)?;
    ready::wait(&mut processes, scraped, "/readyz")?;
    let prometheus_address = match server {
        Some(directory) => {
            println!("Starting Prometheus");
            let address = free_port(9090)?;
            processes
                .start("prometheus", prometheus::command(&directory, address, scraped, arguments.demo)?)?;
            ready::wait(&mut processes, address, "/-/ready")?;
            Some(address)
        }
        None => None,
    };
    println!("{}", welcome::text(scraped, prometheus_address, arguments.demo));
    processes.watch()
}

/// Finds or downloads Prometheus. If that fails, prints a note.
fn find_prometheus() -> Option<PathBuf> {
    match crate::prometheus::fetch() {
        Ok(directory) => Some(directory),
        Err(error) => {
            step::note(&format!("continuing without Prometheus: {error:#}"));
            None
        }
    }
}

/// Runs this program again with sudo after the build, so that build output is not owned by root.
fn run_with_sudo(arguments: &Arguments) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("find this program")?;
    let mut command = Command::new("sudo");
    command.arg("--preserve-env=CARGO_TARGET_DIR,PATH").arg(&this).args(["run", "--built"]);
    for (flag, given) in [("--demo", arguments.demo), ("--no-prometheus", arguments.no_prometheus)] {
        command.args(given.then_some(flag));
    }
    command.arg("--").args(&arguments.agent);
    let shown = format!("{command:?}").replace('"', "");
    if !stdin().is_terminal() {
        bail!("loading kernel programs requires root. The build is done; run:\n  {shown}");
    }
    println!("Loading kernel programs requires root; sudo may ask for your password:\n  {shown}");
    Err(command.exec()).context("run sudo")
}

/// The value of an agent flag: `--flag value` or `--flag=value`.
fn flag_value<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    arguments.iter().enumerate().find_map(|(at, argument)| match argument.strip_prefix(flag)? {
        "" => arguments.get(at + 1).map(String::as_str),
        value => value.strip_prefix('='),
    })
}

fn listen_address(arguments: &[String]) -> anyhow::Result<SocketAddr> {
    match flag_value(arguments, "--listen") {
        Some(address) => address
            .parse()
            .with_context(|| format!("--listen {address:?} is not an address such as 127.0.0.1:9966")),
        None => free_port(9966),
    }
}

/// The address to connect to a listener from this host.
fn connect_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The first free port of the loopback address, starting at `first`.
fn free_port(first: u16) -> anyhow::Result<SocketAddr> {
    let candidates =
        (first..first.saturating_add(50)).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut free = candidates.filter(|address| TcpListener::bind(address).is_ok());
    free.next().with_context(|| format!("find a free port in {first}..{}", first.saturating_add(50)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_listen_flag_is_recognized_in_both_forms() {
        let given = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            listen_address(&arguments).unwrap()
        };
        assert_eq!(given(&["--log", "debug", "--listen", "0.0.0.0:1234"]).to_string(), "0.0.0.0:1234");
        assert_eq!(given(&["--listen=[::1]:1234"]).to_string(), "[::1]:1234");
        assert!(given(&[]).ip().is_loopback());
        assert!(listen_address(&["--listen=here".to_owned()]).is_err());
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_over_loopback() {
        assert_eq!(connect_address(SocketAddr::from(([0, 0, 0, 0], 1))).to_string(), "127.0.0.1:1");
        assert_eq!(connect_address(SocketAddr::from(([192, 0, 2, 1], 1))).to_string(), "192.0.2.1:1");
    }

    #[test]
    fn a_port_in_use_is_skipped() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().min(65_000);
        assert_ne!(free_port(port).unwrap(), taken.local_addr().unwrap());
    }
}
