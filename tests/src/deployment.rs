//! The files of deploy/, read by the programs that users pass them to: Helm's SDK, kubectl, and Kubernetes' own schemas.
//! `cargo xtask setup --tests` installs them into a virtual environment below `target/xtask/deploy`.

pub mod image;
pub mod pod;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::repository::{in_repository, installed};

/// The programs.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
}

/// A path below deploy/.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    in_repository("deploy").join(name)
}

impl Tools {
    /// Finds the programs.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn find() -> Result<Self, String> {
        Ok(Self { root: installed("deploy", "Helm SDK and kubectl", "pip")? })
    }

    /// Findings of `helm lint`.
    #[must_use]
    pub fn lint(&self) -> Vec<Value> {
        list(self.chart(&["lint", &chart()], ""))
    }

    /// The objects of the chart with these values, in JSON.
    #[must_use]
    pub fn render(&self, values: &str) -> Vec<Value> {
        list(self.chart(&["render", &chart(), values], ""))
    }

    /// Whether the chart accepts these values, and Helm's error if not.
    ///
    /// # Errors
    /// Helm's message.
    pub fn try_render(&self, values: &str) -> Result<(), String> {
        self.run(&["render", &chart(), values], "").map(drop)
    }

    /// What the schemas of these versions of Kubernetes reject.
    #[must_use]
    pub fn validate(&self, versions: &[&str], objects: &[Value]) -> Vec<Value> {
        let mut arguments = vec!["validate"];
        arguments.extend(versions);
        list(self.chart(&arguments, &Value::from(objects.to_vec()).to_string()))
    }

    /// Generates the kustomize base and the overlays.
    pub fn generate_kustomize(&self, directory: &Path) {
        self.chart(&["kustomize", &chart(), &directory.display().to_string()], "");
    }

    /// The objects that `kubectl kustomize` makes.
    ///
    /// # Panics
    /// If kubectl fails.
    #[must_use]
    pub fn kustomize(&self, directory: &Path) -> Vec<Value> {
        let mut kubectl = Command::new(self.root.join("bin/kubectl"));
        let output = kubectl.arg("kustomize").arg(directory).output();
        let output = output.unwrap_or_else(|error| panic!("run kubectl: {error}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl kustomize {}: {error}", directory.display());
        list(self.chart(&["yaml", "/dev/stdin"], &String::from_utf8_lossy(&output.stdout)))
    }

    /// The documents of a YAML file.
    #[must_use]
    pub fn yaml(&self, file: &Path) -> Vec<Value> {
        list(self.chart(&["yaml", &file.display().to_string()], ""))
    }

    /// A program of the virtual environment.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.root.join("bin").join(name))
    }

    fn chart(&self, arguments: &[&str], input: &str) -> Value {
        self.run(arguments, input).unwrap_or_else(|error| panic!("chart.py {}: {error}", arguments.join(" ")))
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<Value, String> {
        let mut command = self.program("python");
        command.arg(in_repository("tests/deploy/chart.py")).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("run {command:?}: {error}"))?;
        let mut stdin = child.stdin.take().ok_or("no pipe")?;
        let input = input.to_owned();
        // The script reads all of its input before it writes.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let written = writer.join().map_err(|_| "the writer panicked")?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        written.map_err(|error| format!("write to chart.py: {error}"))?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("parse its output: {error}"))
    }
}

fn chart() -> String {
    file("helm/glassbox").display().to_string()
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        other => panic!("not a list: {other}"),
    }
}

/// The only object of a kind.
///
/// # Panics
/// If there is another number of them.
#[must_use]
pub fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = objects.iter().filter(|object| object["kind"] == kind).collect();
    match found[..] {
        [object] => object,
        _ => panic!("{} objects of kind {kind}", found.len()),
    }
}
