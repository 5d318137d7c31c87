//! A real Gradio application in the cgroup of a container, and clients of it. Both log what really happens
//! (tests/gradio). `cargo xtask setup --tests` installs the versions of Gradio into virtual environments below
//! `target/xtask/gradio`.

pub mod truth;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use self::truth::Truth;
use crate::{
    process_container::ProcessContainer,
    service::{Service, free_address},
};

/// Python with one version of Gradio.
#[derive(Clone, Debug)]
pub struct Gradio {
    python: PathBuf,
}

impl Gradio {
    /// Finds an installed version.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn find(version: &str) -> Result<Self, String> {
        let test = env::current_exe().map_err(|error| format!("find this test: {error}"))?;
        // TARGET/PROFILE/deps/TEST
        let target = test.ancestors().nth(3).ok_or("find cargo's output")?;
        let root = target.join("xtask/gradio").join(version);
        if root.join("installed").is_file() {
            return Ok(Self { python: root.join("bin/python") });
        }
        Err(format!(
            "no Gradio {version} in {} (cargo xtask setup --tests installs it with pip)",
            root.display()
        ))
    }

    /// The interpreter.
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(sources().join(script));
        for (name, value) in ENVIRONMENT {
            command.env(name, value);
        }
        command
    }
}

/// Settings without which Gradio and its client contact servers on the internet.
const ENVIRONMENT: [(&str, &str); 3] =
    [("GRADIO_ANALYTICS_ENABLED", "False"), ("HF_HUB_OFFLINE", "1"), ("NO_PROXY", "127.0.0.1,localhost")];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gradio")
}

/// A running application.
pub struct Application {
    /// The ID of its container.
    pub id: String,
    /// Its address.
    pub address: SocketAddr,
    gradio: Gradio,
    _service: Service,
    _container: ProcessContainer,
    logs: tempfile::TempDir,
}

impl Application {
    /// Starts the application in the cgroup of a new container, with `sets` sets of functions.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If the application does not start.
    pub fn start(gradio: Gradio, sets: usize) -> Result<Self, String> {
        let container = ProcessContainer::new()?;
        let logs = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let address = free_address();
        let service = Service::start("the Gradio application", address, "/config", |_| {
            let mut application = gradio.command("app.py");
            application.arg(address.port().to_string()).arg(logs.path().join("application"));
            container.command(application.arg(sets.to_string()))
        });
        Ok(Self { id: container.id.clone(), address, gradio, _service: service, _container: container, logs })
    }

    /// Runs clients of all these addresses at the same time, each with a set of functions, and returns what they and the
    /// application logged.
    ///
    /// # Panics
    /// If the clients fail.
    #[must_use]
    pub fn drive(&self, addresses: &[SocketAddr]) -> Truth {
        let clients = self.logs.path().join("clients");
        let mut command = self.gradio.command("drive.py");
        command.arg(&clients).args(addresses.iter().map(|address| format!("http://{address}")));
        let output = command.output().unwrap_or_else(|error| panic!("run the clients: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the clients: {}\n{errors}", output.status);
        let read = |path: &Path| {
            fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
        };
        Truth::read(&(read(&clients) + &read(&self.logs.path().join("application"))))
    }
}
