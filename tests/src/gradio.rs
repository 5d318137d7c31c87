//! A real Gradio application in a container, and clients of it. Both log what really happens
//! (tests/gradio). `cargo xtask setup --tests` installs the versions of Gradio into virtual environments below
//! `target/xtask/gradio`.

pub mod truth;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use self::truth::Truth;
use crate::{
    docker::{Container, Docker, eventually},
    http,
    process_container::ProcessContainer,
    repository::{in_repository, installed},
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
        let root = installed(&format!("gradio/{version}"), &format!("Gradio {version}"), "pip")?;
        Ok(Self { python: root.join("bin/python") })
    }

    /// The interpreter.
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(sources().join(script)).envs(ENVIRONMENT);
        command
    }
}

/// Time in which an application starts, on a busy host.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Settings without which Gradio and its client contact servers on the internet.
const ENVIRONMENT: [(&str, &str); 3] =
    [("GRADIO_ANALYTICS_ENABLED", "False"), ("HF_HUB_OFFLINE", "1"), ("NO_PROXY", "127.0.0.1,localhost")];

fn sources() -> PathBuf {
    in_repository("tests/gradio")
}

/// A running application.
pub struct Application<'a> {
    /// The ID of its container, or the name if it has one.
    pub container: String,
    /// Its address.
    pub address: SocketAddr,
    gradio: Gradio,
    place: Place<'a>,
    logs: tempfile::TempDir,
}

/// Where an application runs.
enum Place<'a> {
    /// In the cgroup of a container, on the host.
    Cgroup { _service: Service, _container: ProcessContainer },
    /// In a Docker container with a network of its own.
    Docker { docker: &'a Docker, _container: Container<'a> },
}

impl Application<'static> {
    /// Starts the application in the cgroup of a new container, with `sets` sets of functions.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If the application does not start.
    pub fn start(gradio: Gradio, sets: usize) -> Result<Self, String> {
        let container = ProcessContainer::new()?;
        let logs = logs()?;
        let address = free_address();
        let service = Service::start("the Gradio application", address, "/config", |_| {
            let mut application = gradio.command("app.py");
            application.arg(address.port().to_string()).arg(logs.path().join("application"));
            container.command(application.arg(sets.to_string()))
        });
        let id = container.id.clone();
        let place = Place::Cgroup { _service: service, _container: container };
        Ok(Self { container: id, address, gradio, place, logs })
    }
}

impl<'a> Application<'a> {
    /// Starts a client on the host: a script of tests/gradio, with the application's URL and further arguments.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_client(&self, script: &str, arguments: &[String]) -> Child {
        let mut client = self.gradio.command(script);
        client.arg(format!("http://{}", self.address)).args(arguments);
        client.spawn().unwrap_or_else(|error| panic!("run {script}: {error}"))
    }

    /// Starts the application in a container on the bridge of a daemon, with one set of functions.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If the application does not start.
    pub fn in_docker(gradio: Gradio, docker: &'a Docker, name: &str) -> Result<Self, String> {
        const PORT: u16 = 7860;
        let logs = logs()?;
        let log = logs.path().join("application");
        let environment = ENVIRONMENT.map(|(name, value)| format!("--env={name}={value}"));
        let options: Vec<&str> = environment.iter().map(String::as_str).chain(["--volume=/:/host"]).collect();
        // Python with its libraries is the host's.
        let program = ["/bin/busybox", "chroot", "/host"].map(str::to_owned).into_iter().chain([
            gradio.python.display().to_string(),
            sources().join("app.py").display().to_string(),
            PORT.to_string(),
            log.display().to_string(),
            "1".to_owned(),
            "0.0.0.0".to_owned(),
        ]);
        let program: Vec<String> = program.collect();
        let arguments: Vec<&str> = program.iter().map(String::as_str).collect();
        let container = Container::run(docker, name, &options, &arguments);
        let ip = container.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        let address = SocketAddr::new(ip.parse().map_err(|error| format!("address {ip}: {error}"))?, PORT);
        eventually("the Gradio application answers", START_TIMEOUT, || {
            let answer = docker.daemon().sandbox().within(|| http::get(address, "/config"));
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        });
        let place = Place::Docker { docker, _container: container };
        Ok(Self { container: name.to_owned(), address, gradio, place, logs })
    }

    /// Runs clients of all these addresses at the same time, each with a set of functions, and returns what they and the
    /// application logged.
    ///
    /// # Panics
    /// If the clients fail.
    #[must_use]
    pub fn drive(&self, addresses: &[SocketAddr]) -> Truth {
        let clients = self.logs.path().join("clients");
        let mut command = match &self.place {
            Place::Cgroup { .. } => Command::new(&self.gradio.python),
            Place::Docker { docker, .. } => {
                docker.daemon().sandbox().command(&self.gradio.python.display().to_string())
            }
        };
        command.envs(ENVIRONMENT).arg(sources().join("drive.py")).arg(&clients);
        command.args(addresses.iter().map(|address| format!("http://{address}")));
        let output = command.output().unwrap_or_else(|error| panic!("run the clients: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the clients: {}\n{errors}", output.status);
        let read = |path: &Path| {
            fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
        };
        Truth::read(&(read(&clients) + &read(&self.logs.path().join("application"))))
    }
}

fn logs() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))
}
