//! The files of a playing program: its sources, the scenario, videos, job files and the log.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    PYTHON,
    scenario::{FPS, HEIGHT, SECONDS, WIDTH},
};
use crate::repository::in_repository;

/// What the program plays, and how it finds its job files.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The scenario: see tests/facefusion/facefusion.py.
    pub scenario: Value,
    /// Arguments after the command `run`.
    pub arguments: Vec<String>,
    /// The content of facefusion.ini.
    pub ini: Option<String>,
    /// Whether `.jobs` is a bind mount, as with the Compose file of the official images. For Docker only.
    pub has_bind_mount: bool,
}

/// Directories that are removed when this is dropped.
pub(super) struct Workspace {
    directory: tempfile::TempDir,
}

impl Workspace {
    /// Copies the program and makes the videos of its scenario.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub(super) fn new(setup: &Setup) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let workspace = Self { directory };
        let filled = workspace.fill(setup);
        filled.map_err(|error| format!("prepare the program that plays FaceFusion: {error}"))?;
        // This loads all of the program, so that a missing or an old Python is found here.
        let help = ["-B", "facefusion.py", "--help"];
        run(Command::new(PYTHON).args(help).current_dir(workspace.program()))?;
        let videos = videos(&setup.scenario);
        if !videos.is_empty() {
            workspace.make_videos(&videos)?;
        }
        Ok(workspace)
    }

    /// The program's directory.
    pub(super) fn program(&self) -> PathBuf {
        self.directory.path().join("program")
    }

    /// The directory of the log.
    pub(super) fn truth(&self) -> PathBuf {
        self.directory.path().join("truth")
    }

    /// The log.
    pub(super) fn log(&self) -> PathBuf {
        self.truth().join("log")
    }

    /// The directory that is mounted in place of `.jobs`.
    pub(super) fn jobs(&self) -> PathBuf {
        self.directory.path().join("jobs")
    }

    /// The directory for temporary files of a program on the host.
    pub(super) fn temporary(&self) -> PathBuf {
        self.directory.path().join("temporary")
    }

    fn fill(&self, setup: &Setup) -> io::Result<()> {
        for directory in [self.truth(), self.jobs(), self.temporary()] {
            fs::create_dir(directory)?;
        }
        copy(&in_repository("tests/facefusion"), &self.program())?;
        fs::write(self.program().join("scenario.json"), setup.scenario.to_string())?;
        match &setup.ini {
            Some(ini) => fs::write(self.program().join("facefusion.ini"), ini),
            None => Ok(()),
        }
    }

    /// Makes a test picture, with sound unless its name contains `silent`, under each of these names; and one that is cut off.
    fn make_videos(&self, names: &BTreeSet<String>) -> Result<(), String> {
        let sounding = self.program().join("sounding.mp4").display().to_string();
        let silent = self.program().join("silent.mp4").display().to_string();
        let picture = format!("testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS}:duration={SECONDS}");
        let sound = format!("sine=duration={SECONDS}");
        ffmpeg(&[
            &["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound],
            &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", &sounding],
        ])?;
        ffmpeg(&[&["-i", &sounding, "-c:v", "copy", "-an", &silent]])?;
        let copied = fs::read(&sounding).and_then(|content| {
            let half = content.get(..content.len() / 2).unwrap_or_default();
            fs::write(self.program().join("broken.mp4"), half)?;
            names.iter().try_for_each(|name| {
                let from = if name.contains("silent") { &silent } else { &sounding };
                fs::copy(from, self.program().join(name)).map(drop)
            })
        });
        copied.map_err(|error| format!("copy {sounding}: {error}"))
    }
}

/// The videos that the steps of a scenario process.
fn videos(scenario: &Value) -> BTreeSet<String> {
    let actions = scenario["actions"].as_array().into_iter().flatten();
    let steps = actions.map(|action| &action["step"]).chain([&scenario["headless"]]);
    steps.filter_map(|step| step["target"].as_str().map(str::to_owned)).collect()
}

fn ffmpeg(arguments: &[&[&str]]) -> Result<(), String> {
    run(Command::new("ffmpeg").args(["-nostdin", "-loglevel", "error"]).args(arguments.concat()))
}

/// Runs a program. The error has one line.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let missing = "cargo xtask setup --tests installs it";
    let output = command.output().map_err(|error| format!("run {program}: {error} ({missing})"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = || text.split_whitespace().collect::<Vec<_>>().join(" ");
    output.status.success().then_some(()).ok_or_else(|| format!("{program}: {}", line()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
