//! A container of the demonstration with the program that plays FaceFusion, whose ffmpeg children are real.

use crate::facefusion::{Player, Setup, scenario::endless};

/// Its name.
pub(super) const NAME: &str = "demo-facefusion";
/// Its image. Dashboards compare containers with the same image, and this one does other work than those with GPUs.
pub(super) const IMAGE: &str = "example/facefusion:3.5.2-demo";
const VERSION: &str = "3.5.2";
/// Jobs that are submitted together. One of them fails.
const JOBS: usize = 3;
/// Frames per second. A job then takes some 12 s.
const RATE_FPS: u32 = 20;

/// Starts it. It may be older than the agent, which finds processes and jobs that run already.
///
/// # Errors
/// Why there is no such container, in one line.
pub(super) fn start() -> Result<Player<'static>, String> {
    let scenario = endless(VERSION, JOBS, RATE_FPS);
    Player::in_cgroup(&Setup { scenario, ..Setup::default() })
}
