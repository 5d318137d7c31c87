//! The libraries of which Grafana consists: its types, and what it applies to results of queries (tests/grafana).
//! `cargo xtask setup --tests` installs them with npm below `target/xtask/grafana`.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    dashboards::{Dashboard, list, text},
    repository::{in_repository, installed},
};

/// Installed libraries.
#[derive(Debug)]
pub struct Grafana {
    root: PathBuf,
}

/// A field of a panel, as a user sees it.
#[derive(Debug)]
pub struct Field {
    /// The name of the series or the column.
    pub name: String,
    /// The values with their units.
    pub text: Vec<String>,
    /// The colours of the values.
    pub color: Vec<String>,
}

impl Grafana {
    /// Finds the libraries.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn find() -> Result<Self, String> {
        Ok(Self { root: installed("grafana", "library of Grafana", "npm")? })
    }

    /// Checks that the dashboards have only members and values that Grafana knows, with the compiler of TypeScript.
    ///
    /// # Errors
    /// The messages of the compiler.
    pub fn check_types(&self, dashboards: &[Dashboard]) -> Result<(), String> {
        let directory =
            tempfile::tempdir_in(&self.root).map_err(|error| format!("make a directory: {error}"))?;
        let directory = directory.path();
        let write = |name: &str, content: &str| {
            fs::write(directory.join(name), content).map_err(|error| format!("write {name}: {error}"))
        };
        for file in ["kinds.ts", "tsconfig.json"] {
            fs::copy(sources().join(file), directory.join(file))
                .map_err(|error| format!("copy {file}: {error}"))?;
        }
        // Modules, as those of the package.
        write("package.json", "{ \"type\": \"module\" }")?;
        for dashboard in dashboards {
            write(&format!("{}-{}.ts", dashboard.language, dashboard.name()), &program(&dashboard.json))?;
        }
        let mut tsc = Command::new("node");
        tsc.arg(self.root.join("node_modules/typescript/bin/tsc")).arg("--project").arg(directory);
        let output = tsc.output().map_err(|error| format!("run node: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stdout).into_owned())
        }
    }

    /// Shows panels with results of their queries, as JSON: a list of members `panel` and `results`.
    ///
    /// # Errors
    /// What the library rejects.
    pub fn show(&self, panels: &Value) -> Result<Vec<Vec<Field>>, String> {
        let mut command = Command::new("node");
        // A file name, so that modules are found from its directory.
        command.arg(sources().join("apply.mjs")).arg(self.root.join("package.json"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut node = command.spawn().map_err(|error| format!("run node: {error}"))?;
        let input = panels.to_string();
        let stdin = node.stdin.take();
        // In a thread, because node may write before it has read everything.
        let written = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        let output = node.wait_with_output().map_err(|error| format!("wait for node: {error}"))?;
        drop(written.join());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let all: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("read the fields: {error}"))?;
        Ok(list(&all).iter().map(|fields| list(fields).iter().map(Field::read).collect()).collect())
    }
}

impl Field {
    fn read(field: &Value) -> Self {
        let texts = |name: &str| list(&field[name]).iter().map(|value| text(value).to_owned()).collect();
        Self { name: text(&field["name"]).to_owned(), text: texts("text"), color: texts("color") }
    }
}

/// A dashboard as a program, in which each object must have the type of its kind.
fn program(dashboard: &Value) -> String {
    let mut whole = dashboard.clone();
    let panels = whole.as_object_mut().and_then(|members| members.remove("panels")).unwrap_or_default();
    let mut program = String::from("import type * as kinds from './kinds.ts';\n");
    program += &format!("void ({whole} satisfies kinds.Dashboard);\n");
    for panel in list(&panels) {
        let kind = text(&panel["type"]).replace('-', "");
        let (first, rest) = kind.split_at(usize::from(!kind.is_empty()));
        program += &format!("void ({panel} satisfies kinds.{}{rest});\n", first.to_uppercase());
    }
    program
}

fn sources() -> PathBuf {
    in_repository("tests/grafana")
}
