//! The tests against the kernel, container runtimes and Prometheus of this host. They load kernel programs and start
//! containers.
//!
//! Most of them run one after the other, because they compare numbers that other tests would change. [`LANES`] mostly wait
//! for servers and tolerate other containers, so they run at the same time.

use std::time::{Duration, Instant};
use std::{fs, path::Path};

use anyhow::Context as _;

use super::tests_of;
use crate::parallel::{self, Job};
use crate::report::Row;
use crate::workspace;

const PACKAGE: [&str; 3] = ["test", "--package", "glassbox-tests"];
/// Names of test programs.
const LANES: [(&str, &[&str]); 2] = [
    ("host alerts", &["alerts", "gpu_check", "packages", "page", "privileges", "gradio"]),
    ("host servers", &["web_config", "deploy"]),
];

/// Runs all of them.
pub(super) fn rows() -> Vec<Row> {
    if !workspace::is_root() {
        let reason = "root required; run: sudo --preserve-env=PATH,HOME cargo xtask test";
        return vec![Row::skipped("host", reason.to_owned())];
    }
    let started = Instant::now();
    let alone = match alone() {
        Ok(alone) => alone,
        Err(error) => return vec![Row::broken("host", started.elapsed(), &error)],
    };
    let mut cargo = [&PACKAGE[..], &["--lib", "--bins"]].concat();
    cargo.extend(alone.iter().flat_map(|name| ["--test", name]));
    let mut rows = vec![run("host", &cargo, &|line| println!("{line}"))];
    let jobs = LANES.map(|(layer, names)| Job {
        name: layer.to_owned(),
        work: Box::new(move |emit: &dyn Fn(String)| {
            let names = names.iter().flat_map(|name| ["--test", name]);
            run(layer, &PACKAGE.into_iter().chain(names).collect::<Vec<_>>(), &|line| emit(line.to_owned()))
        }),
    });
    let lanes = parallel::run(jobs.into(), LANES.len());
    rows.extend(LANES.iter().zip(lanes).map(|((layer, _), row)| {
        let panicked = || anyhow::anyhow!("the thread of these tests panicked");
        row.unwrap_or_else(|| Row::broken(layer, Duration::ZERO, &panicked()))
    }));
    rows
}

fn run(layer: &str, cargo: &[&str], print: &dyn Fn(&str)) -> Row {
    tests_of(layer, &[cargo, &["--no-fail-fast"]].concat(), &["--test-threads=1"], print)
}

/// The test programs that are in no lane.
fn alone() -> anyhow::Result<Vec<String>> {
    let directory = workspace::root().join("tests/tests");
    let names = programs(&directory).with_context(|| format!("read {}", directory.display()))?;
    let beside: Vec<_> = LANES.iter().flat_map(|(_, names)| *names).collect();
    Ok(names.into_iter().filter(|name| !beside.contains(&&name.as_str())).collect())
}

/// The test programs of a package: the files in its directory `tests`.
fn programs(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.extend(name.filter(|_| path.extension().is_some_and(|end| end == "rs")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_program_runs_once() {
        let all = programs(&workspace::root().join("tests/tests")).unwrap();
        let beside = LANES.iter().flat_map(|(_, names)| *names).map(|name| (*name).to_owned());
        let mut planned: Vec<_> = alone().unwrap().into_iter().chain(beside).collect();
        planned.sort();
        assert_eq!(planned, all);
        assert!(all.len() > 20, "{all:?}");
    }
}
