//! `cargo xtask gpu-check` validates the agent on a machine with an NVIDIA GPU and generates docs/gpu-validation.md.
//!
//! It needs root and the NVIDIA driver, which includes the required parts of CUDA. The measuring program is
//! tests/tools/gpu-check.rs.

mod page;

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::child::{self, Limits};
use crate::{machine, setup, step, workspace};

/// Exists if the driver is loaded.
const DRIVER: &str = "/proc/driver/nvidia/version";
/// The generated page.
const PAGE: &str = "docs/gpu-validation.md";

/// Validate the agent on a real GPU: hooks, driver calls of CUDA, and overhead of tracing (about 3 minutes).
///
/// Uses the first GPU and briefly fills its memory. Needs root and the NVIDIA driver, but no CUDA toolkit, no Docker and,
/// once everything is built, no network.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Write docs/gpu-validation.md
    #[arg(long)]
    write: bool,
    /// Run although other processes use the GPUs; they may run out of GPU memory
    #[arg(long)]
    shared: bool,
    /// Skip setup and build; use programs that were built before, possibly on another machine
    #[arg(long)]
    built: bool,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let driver = fs::read_to_string(DRIVER)
        .with_context(|| format!("read {DRIVER}: load the NVIDIA driver with `modprobe nvidia`; without a GPU, try `cargo xtask run --demo`"))?;
    ensure!(
        workspace::is_root(),
        "root required to load kernel programs; run: sudo --preserve-env=PATH cargo xtask gpu-check"
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
        let page = format!("{page}{}", page::preserved(&previous));
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
    step::run("build the agent and the measuring programs", &mut build)
}

/// Runs the measuring program. Its progress and errors go to the terminal.
fn measure(shared: bool) -> anyhow::Result<serde_json::Value> {
    println!("Measuring (about 3 minutes)");
    let built = workspace::target().join("release");
    let mut command = Command::new(built.join("gpu-check"));
    command.env("GLASSBOX_AGENT", built.join("glassbox")).args(shared.then_some("--shared"));
    let figures = child::output(&mut command, Limits::NONE)
        .context("run the measuring program; its errors are above")?;
    serde_json::from_str(&figures).context("parse the measurements")
}
