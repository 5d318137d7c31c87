//! The tests against the kernel, container runtimes and Prometheus of this host. They load kernel programs and start
//! containers.
//!
//! Most of them run one after the other, because they compare numbers that other tests would change. [`LANES`] mostly wait
//! for servers and tolerate other containers, so they run at the same time.

use std::time::{Duration, Instant};

use super::tests_of;
use crate::parallel::{self, Job};
use crate::report::Row;
use crate::workspace;

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
    let mut rows = vec![run("host", alone.iter().map(String::as_str), &|line| println!("{line}"))];
    let jobs = LANES.map(|(layer, names)| Job {
        name: layer.to_owned(),
        work: Box::new(move |emit: &dyn Fn(String)| {
            run(layer, names.iter().copied(), &|line| emit(line.to_owned()))
        }),
    });
    let lanes = parallel::run(jobs.into(), LANES.len());
    rows.extend(LANES.iter().zip(lanes).map(|((layer, _), row)| {
        let panicked = || anyhow::anyhow!("the thread of these tests panicked");
        row.unwrap_or_else(|| Row::broken(layer, Duration::ZERO, &panicked()))
    }));
    rows
}

fn run<'a>(layer: &str, programs: impl Iterator<Item = &'a str>, print: &dyn Fn(&str)) -> Row {
    let targets: Vec<_> = programs.flat_map(|name| ["--test", name]).collect();
    tests_of(layer, &targets, &["--test-threads=1"], print)
}

/// The test programs that are in no lane.
fn alone() -> anyhow::Result<Vec<String>> {
    let names = super::programs("tests/tests")?;
    let beside: Vec<_> = LANES.iter().flat_map(|(_, names)| *names).collect();
    Ok(names.into_iter().filter(|name| !beside.contains(&&name.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_program_runs_once() {
        let all = crate::test::programs("tests/tests").unwrap();
        let beside = LANES.iter().flat_map(|(_, names)| *names).map(|name| (*name).to_owned());
        let mut planned: Vec<_> = alone().unwrap().into_iter().chain(beside).collect();
        planned.sort();
        assert_eq!(planned, all);
        assert!(all.len() > 20, "{all:?}");
    }
}
