//! A real Gradio application with failing jobs, and then with a job that blocks the queue.

use std::process::Child;

use glassbox_tests::gradio::{Application, Gradio};

const VERSION: &str = "5.50.0";
/// How long jobs fail.
const FAIL_S: u64 = 20;
/// How long one job blocks the queue. GradioQueueStuck needs 15 s without an ended job, for 15 s.
const BLOCK_S: u64 = 60;

pub(super) struct Jobs {
    /// The name of the container.
    pub(super) container: String,
    clients: Child,
    _application: Application<'static>,
}

impl Jobs {
    /// Starts the application and its client, or returns the reason to skip these alerts.
    pub(super) fn start() -> Result<Self, String> {
        let application = Application::start(Gradio::find(VERSION)?, 1)?;
        let arguments = [FAIL_S, BLOCK_S].map(|seconds| seconds.to_string());
        let clients = application.start_client("problems.py", &arguments);
        let container = application.container[..12].to_owned();
        Ok(Self { container, clients, _application: application })
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        let _ = self.clients.kill();
        let _ = self.clients.wait();
    }
}
