//! Configuration, data and log of the Prometheus that scrapes the agent.
//!
//! The demo has its own data directory, job and label, so that its series cannot be mistaken for those of a real host.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::workspace;

/// Scrape interval in seconds. Short, so that graphs have data soon.
const INTERVAL_S: u32 = 5;

/// The command that starts Prometheus. `directory` has the program, `scraped` is the agent's address.
pub(super) fn command(
    directory: &Path,
    address: SocketAddr,
    scraped: SocketAddr,
    demo: bool,
) -> anyhow::Result<Command> {
    let dir = data_dir(demo);
    let data = dir.join("prometheus-data");
    fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
    let config = dir.join("prometheus.yml");
    let rules = ["alerts.yml", "recording.yml"].map(|file| workspace::root().join("dashboards").join(file));
    let text = format!("rule_files: {rules:?}\n{}", scrape_config(scraped, demo));
    fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    let log = dir.join("prometheus.log");
    let log = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut command = Command::new(directory.join("prometheus"));
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", data.display()));
    command.arg(format!("--web.listen-address={address}"));
    command.args(["--storage.tsdb.retention.time=2d", "--log.level=warn"]);
    command.stdout(log.try_clone().context("duplicate the log")?).stderr(log);
    Ok(command)
}

/// Directory for configuration, data and log.
fn data_dir(demo: bool) -> PathBuf {
    workspace::scratch().join(if demo { "run/demo" } else { "run" })
}

/// A scrape configuration for the agent.
pub(super) fn scrape_config(agent: SocketAddr, demo: bool) -> String {
    let (job, labels) = if demo {
        // A target label, because query results do not contain external labels.
        ("glassbox-demo", "\n        labels: {demo: \"true\"}")
    } else {
        ("glassbox", "")
    };
    format!(
        "scrape_configs:\n  - job_name: {job}\n    scrape_interval: {INTERVAL_S}s\n    static_configs:\n      \
         - targets: [\"{agent}\"]{labels}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_its_own_data_and_a_label_in_every_series() {
        let (real, demo) = (data_dir(false).join("prometheus-data"), data_dir(true).join("prometheus-data"));
        assert!(real != demo && !demo.starts_with(&real) && !real.starts_with(&demo));
        let agent = SocketAddr::from(([127, 0, 0, 1], 9966));
        let config = scrape_config(agent, true);
        assert!(
            config.contains("job_name: glassbox-demo\n") && config.contains("labels: {demo: \"true\"}\n")
        );
        assert!(!scrape_config(agent, false).contains("demo"));
    }
}
