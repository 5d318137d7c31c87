//! Containers that serve requests, streams and Gradio jobs, and their clients; and containers with FaceFusion.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use glassbox_tests::{
    docker::{Container, Docker},
    facefusion::{
        Player, Setup,
        scenario::{endless, scenario, step_with, submitted, wait},
    },
    gradio::{Application, Gradio},
    http,
};
use serde_json::{Value, json};

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
    /// Short jobs of FaceFusion and a long one, or the reason why there are none.
    pub(super) facefusion: Result<[Player<'a>; 2], String>,
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
        let api_address = SocketAddr::new(ip.parse().unwrap(), PORT);
        Self { docker, api: api_address, _api: api, gradio, facefusion: facefusion(docker) }
    }

    /// Parts of the names of families that have no series, because a program could not be started.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let jobs = self.gradio.is_err().then_some("glassbox_container_job");
        let of_facefusion = ["glassbox_facefusion_", "glassbox_container_program_"];
        let of_facefusion = self.facefusion.is_err().then_some(of_facefusion);
        jobs.into_iter().chain(of_facefusion.into_iter().flatten()).collect()
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

/// Two containers with FaceFusion. In one of them, a short job ends every few seconds, so that each window of a rate contains the
/// end of a job. The job of the other one runs for longer than this test: a running job has gauges that an ended one lacks.
fn facefusion(docker: &Docker) -> Result<[Player<'_>; 2], String> {
    let player = |name: &str, scenario: Value| {
        Player::in_docker(docker, name, &Setup { scenario, ..Setup::default() })
    };
    // With 3.5, frames are files, so their total is always known.
    let step = step_with("one", &["face_swapper"], "rate_fps", json!(0.5));
    // On a busy host, the agent finds the program only seconds after it has started, and must see the frames extracted.
    let pause = vec![wait(4.0)];
    let long = scenario("3.5.2", &[pause, submitted("long", &[step]), vec![json!({"do": "run_all"})]]);
    Ok([player("facefusion-short", endless("3.8.1", 2, 200))?, player("facefusion-long", long)?])
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
