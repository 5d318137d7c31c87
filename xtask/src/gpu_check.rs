//! `cargo xtask gpu-check`: on a machine with an NVIDIA GPU, sees for itself what docs/gpu-validation.md says.
//!
//! Needs the driver, which brings all of CUDA that is used, and root. The measuring program is
//! tests/tools/gpu-check.rs; this builds it, runs it and makes the page of its figures.

mod page;

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::{machine, setup, step, workspace};

/// Where the kernel tells of a loaded driver.
const DRIVER: &str = "/proc/driver/nvidia/version";
/// The page.
const PAGE: &str = "docs/gpu-validation.md";

/// See on a real GPU whether the hooks attach, what CUDA comes down to, and what tracing costs (some 3 minutes)
///
/// Uses the first GPU and fills its memory for a moment. Needs root and the NVIDIA driver; no CUDA toolkit, no Docker,
/// and no network once everything is built.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Write docs/gpu-validation.md
    #[arg(long)]
    write: bool,
    /// Go on although other processes use the GPUs: they may run out of memory
    #[arg(long)]
    shared: bool,
    /// Take what was built before, on this machine or on one that has a network
    #[arg(long)]
    built: bool,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let driver = fs::read_to_string(DRIVER)
        .with_context(|| format!("read {DRIVER}: is the NVIDIA driver loaded? (`modprobe nvidia`; without a GPU try `cargo xtask run --demo`)"))?;
    ensure!(
        workspace::is_root(),
        "loading kernel programs takes root: type `sudo --preserve-env=PATH cargo xtask gpu-check`"
    );
    if !arguments.built {
        build()?;
    }
    let load = machine::load()?;
    let figures = measure(arguments.shared)?;
    let page = page::page(&machine::describe(load)?, driver.lines().next().unwrap_or_default(), &figures)?;
    println!("\n{page}");
    if arguments.write {
        let path = workspace::root().join(PAGE);
        let previous = fs::read_to_string(&path).unwrap_or_default();
        let page = format!("{page}{}", page::kept(&previous));
        fs::write(&path, page).with_context(|| format!("write {PAGE}"))?;
        println!("Written to {PAGE}");
    }
    Ok(())
}

fn build() -> anyhow::Result<()> {
    setup::main(&setup::Arguments::default())?;
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "glassbox", "--package", "glassbox-tests"]);
    build.args(["--bin", "glassbox", "--bin", "gpu-check", "--bin", "cuda-work"]);
    step::run("build the agent and what checks it", &mut build)
}

/// Runs the measuring program, whose progress and errors go to the terminal.
fn measure(shared: bool) -> anyhow::Result<serde_json::Value> {
    println!("Measuring: some 3 minutes");
    let built = workspace::target().join("release");
    let mut command = Command::new(built.join("gpu-check"));
    command.env("GLASSBOX_AGENT", built.join("glassbox")).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.args(shared.then_some("--shared"));
    let output = command.output().context("run gpu-check")?;
    ensure!(output.status.success(), "gpu-check: {}; what it said is above", output.status);
    serde_json::from_slice(&output.stdout).context("read its figures")
}
