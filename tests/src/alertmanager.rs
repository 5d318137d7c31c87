//! Alertmanager, and its API.

use std::{env, fs, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    http,
    service::{Service, free_address},
};

/// Names of the server: Debian's, and that of the project.
const SERVERS: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];

/// The programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server.
    pub alertmanager: PathBuf,
    /// The tool.
    pub amtool: PathBuf,
}

impl Programs {
    /// Finds the programs.
    ///
    /// # Errors
    /// If one of them is missing. The error contains the remedy.
    pub fn find() -> Result<Self, String> {
        let directories: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        let programs = directories.iter().flat_map(|directory| {
            SERVERS
                .map(|server| Self { alertmanager: directory.join(server), amtool: directory.join("amtool") })
        });
        let mut whole = programs.into_iter().filter(|one| one.alertmanager.is_file() && one.amtool.is_file());
        whole.next().ok_or_else(|| {
            "no prometheus-alertmanager and amtool in PATH (cargo xtask setup --tests installs them)"
                .to_owned()
        })
    }
}

/// A running Alertmanager.
pub struct Alertmanager {
    /// The address of its API.
    pub address: SocketAddr,
    _service: Service,
}

impl Alertmanager {
    /// Starts a server with a configuration, in YAML.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(programs: &Programs, configuration: &str) -> Self {
        let address = free_address();
        let service = Service::start("Alertmanager", address, "/-/ready", |directory| {
            let file = directory.join("alertmanager.yml");
            fs::write(&file, configuration)
                .unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
            let mut command = Command::new(&programs.alertmanager);
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.path={}", directory.join("data").display()));
            command.arg(format!("--web.listen-address={address}"));
            // No cluster.
            command.arg("--cluster.listen-address=");
            command
        });
        Self { address, _service: service }
    }

    /// Its active alerts, as its API returns them.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let answer = http::get(self.address, "/api/v2/alerts")?;
        anyhow::ensure!(answer.status == 200, "status {}: {}", answer.status, answer.body);
        serde_json::from_str(&answer.body).context("parse the alerts")
    }
}
