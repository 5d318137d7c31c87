//! Containers that serve requests, streams and Gradio jobs, and their clients.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use glassbox_tests::{
    docker::{Container, Docker},
    gradio::{Application, Gradio},
    http,
};

const PORT: u16 = 8000;
/// Time between two rounds of requests.
const PERIOD: Duration = Duration::from_millis(500);

/// The servers.
pub(super) struct Traffic<'a> {
    docker: &'a Docker,
    api: SocketAddr,
    _api: Container<'a>,
    /// The Gradio application, or the reason why there is none.
    pub(super) gradio: Result<Application<'a>, String>,
}

impl<'a> Traffic<'a> {
    /// Starts them.
    pub(super) fn start(docker: &'a Docker) -> Self {
        let listen = format!("0.0.0.0:{PORT}");
        let server = [env!("CARGO_BIN_EXE_slow-server"), &listen, "/dev/null", "127.0.0.1:9"];
        // The server with its libraries is the host's.
        let command = [&["/bin/busybox", "chroot", "/host"][..], &server].concat();
        let api = Container::run(docker, "api", &["--volume=/:/host"], &command);
        let ip = api.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        let gradio =
            Gradio::find("5.50.0").and_then(|gradio| Application::in_docker(gradio, docker, "gradio"));
        Self { docker, api: SocketAddr::new(ip.parse().unwrap(), PORT), _api: api, gradio }
    }

    /// Calls `work` while clients send requests and jobs.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // Set, too, if `work` panics.
            let _end = End(&done);
            scope.spawn(|| self.docker.daemon().sandbox().within(|| self.requests(&done)));
            if let Ok(application) = &self.gradio {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let _ = application.drive(&[application.address]);
                    }
                });
            }
            work()
        })
    }

    fn requests(&self, done: &AtomicBool) {
        while !done.load(Ordering::Relaxed) {
            // A failure and the same request once more, and a connection that is refused.
            for path in ["/ok", "/fail", "/fail", "/upstream", "/generate"] {
                // The server may not listen yet.
                let _ = http::get(self.api, path);
            }
            thread::sleep(PERIOD);
        }
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
