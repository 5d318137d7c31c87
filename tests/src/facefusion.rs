//! A program that plays FaceFusion (tests/facefusion) in a container: its job files, processes, threads and ffmpeg children,
//! as of version 3.5 or 3.8. It logs what really happens.

pub mod scenario;
pub mod truth;
mod workspace;

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

pub use self::workspace::Setup;
use self::{truth::Truth, workspace::Workspace};
use crate::{
    docker::{Container, Docker, eventually},
    process_container::ProcessContainer,
    service::Service,
};

/// A part of all names of files and jobs that the agent must not publish.
pub const MARKER: &str = "marker-7f3a";

/// The program's directory in a Docker container, as in the official images.
const WORKDIR: &str = "/facefusion";
const PYTHON: &str = "/usr/bin/python3";
/// Names of the variables with the paths of the scenario and the log.
const VARIABLES: [&str; 2] = ["FACEFUSION_SCENARIO", "FACEFUSION_LOG"];
/// The container has an empty root. It needs Python and ffmpeg of the host with their libraries. Everything else is its own, so
/// that /proc/PID/root and /proc/PID/cwd lead into the container.
const PROGRAMS: [&str; 4] = ["/usr", "/lib", "/lib64", "/etc/alternatives"];
/// Copies the program into the container's own filesystem, and becomes it.
const START: &str = "ln -s /usr/bin/python3 /bin/python && cp -r /template/. /facefusion && cd /facefusion && \
                     exec python facefusion.py run \"$@\"";

/// A playing program.
pub struct Player<'a> {
    /// The ID of its container, or the name if it has one.
    pub container: String,
    place: Place<'a>,
    workspace: Workspace,
}

enum Place<'a> {
    /// In the cgroups of a container, with the host's files.
    Cgroup { service: Service, container: ProcessContainer },
    /// In a Docker container with its own root.
    Docker { docker: &'a Docker, container: Container<'a> },
}

impl Player<'static> {
    /// Starts it in the cgroups of a new container.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If the program does not start.
    pub fn in_cgroup(setup: &Setup) -> Result<Self, String> {
        let workspace = Workspace::new(setup)?;
        let container = ProcessContainer::new()?;
        let log = workspace.log();
        let service = Service::start_until(
            "the program that plays FaceFusion",
            |_| log.exists(),
            |_| on_the_host(&container, &workspace, "run", &setup.arguments),
        );
        let id = container.id.clone();
        Ok(Self { container: id, place: Place::Cgroup { service, container }, workspace })
    }
}

impl<'a> Player<'a> {
    /// Starts it in a Docker container.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If the container does not start.
    pub fn in_docker(docker: &'a Docker, name: &str, setup: &Setup) -> Result<Self, String> {
        let workspace = Workspace::new(setup)?;
        let programs = PROGRAMS.iter().filter(|path| Path::new(path).exists());
        let mut options: Vec<String> = programs.map(|path| format!("--volume={path}:{path}:ro")).collect();
        options.push(format!("--volume={}:/template:ro", workspace.program().display()));
        options.push(format!("--volume={}:/truth", workspace.truth().display()));
        options.push("--env=PATH=/bin:/usr/bin".to_owned());
        options
            .extend(variables(Path::new(WORKDIR), Path::new("/truth")).map(|entry| format!("--env={entry}")));
        options.push(format!("--workdir={WORKDIR}"));
        if setup.has_bind_mount {
            options.push(format!("--volume={}:{WORKDIR}/.jobs", workspace.jobs().display()));
        }
        let mut program = ["/bin/busybox", "sh", "-c", START, "sh"].map(str::to_owned).to_vec();
        program.extend(setup.arguments.iter().cloned());
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        let container = Container::run(docker, name, &options, &program);
        let player =
            Self { container: name.to_owned(), place: Place::Docker { docker, container }, workspace };
        eventually("FaceFusion plays", Duration::from_secs(30), || {
            player.workspace.log().exists().then_some(())
        });
        Ok(player)
    }

    /// The process ID on the host.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.place {
            Place::Cgroup { service, .. } => service.pid(),
            Place::Docker { container, .. } => container.pid(),
        }
    }

    /// A path below the program's directory, as this test can open it.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        match &self.place {
            Place::Cgroup { .. } => self.workspace.program().join(relative),
            Place::Docker { .. } => PathBuf::from(format!("/proc/{}/root{WORKDIR}/{relative}", self.pid())),
        }
    }

    /// Starts a second process in the container, which plays the step `headless` of the scenario and exits. Returns its exit
    /// code.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn headless(&self, arguments: &[String]) -> Option<i32> {
        let status = match &self.place {
            Place::Cgroup { container, .. } => {
                let mut command = on_the_host(container, &self.workspace, "headless-run", arguments);
                command.status().unwrap_or_else(|error| panic!("run {command:?}: {error}"))
            }
            Place::Docker { docker, container } => {
                let program = ["/bin/python", "facefusion.py", "headless-run"];
                let mut command = vec!["exec", &container.id];
                command.extend(program);
                command.extend(arguments.iter().map(String::as_str));
                let output = docker.try_run(&command).unwrap_or_else(|error| panic!("run docker: {error}"));
                output.status
            }
        };
        status.code().or_else(|| status.signal().map(|signal| -signal))
    }

    /// What has happened so far.
    ///
    /// # Panics
    /// If the log cannot be read.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let log = self.workspace.log();
        let text = fs::read_to_string(&log).unwrap_or_else(|error| panic!("read {}: {error}", log.display()));
        // The last line may be incomplete.
        Truth::read(text.rsplit_once('\n').map_or("", |(lines, _)| lines))
    }

    /// Waits until it has played the scenario, or has crashed as planned, and returns what has happened.
    ///
    /// # Panics
    /// If it does not end in time.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> Truth {
        eventually("the scenario ends", patience, || {
            std::thread::sleep(Duration::from_millis(50));
            let truth = self.truth();
            (truth.is_over || truth.has_crashed).then_some(truth)
        })
    }
}

/// The environment with the paths of the scenario and the log.
fn variables(program: &Path, truth: &Path) -> [String; 2] {
    let paths = [program.join("scenario.json"), truth.join("log")];
    let [scenario, log] = paths.map(|path| path.display().to_string());
    let [first, second] = VARIABLES;
    [format!("{first}={scenario}"), format!("{second}={log}")]
}

fn on_the_host(
    container: &ProcessContainer,
    workspace: &Workspace,
    name: &str,
    arguments: &[String],
) -> Command {
    let mut program = Command::new(PYTHON);
    program.arg("facefusion.py").arg(name).args(arguments);
    let mut command = container.command(&program);
    for entry in variables(&workspace.program(), &workspace.truth()) {
        command.envs(entry.split_once('='));
    }
    command.env("TMPDIR", workspace.temporary()).current_dir(workspace.program());
    command
}
