//! Prints the measurements of `cargo xtask gpu-check` as JSON. `GLASSBOX_AGENT` names the agent. Needs root and a GPU
//! without other users, because the check fills its memory.

use std::time::Duration;

use anyhow::Context as _;
use glassbox_tests::gpu_check::{self, Options};

fn main() -> anyhow::Result<()> {
    let options = Options {
        configuration: "[nvidia_driver]\nper_command_histograms = true\n".into(),
        shared: std::env::args().any(|argument| argument == "--shared"),
        cuda_work: std::env::current_exe().context("find this program")?.with_file_name("cuda-work"),
        library: gpu_check::cuda_library().to_owned(),
        steady: Duration::from_secs(10),
        rounds: 10,
        slice: Duration::from_secs(2),
    };
    println!("{}", gpu_check::run(&options)?);
    Ok(())
}
