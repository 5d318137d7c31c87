//! Containers with every problem that has an alert, and clients of their servers.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    process::{Child, Command},
    time::Duration,
};

use glassbox_tests::{
    agent::Agent,
    cgroup::fresh_id,
    docker::{Container, Docker, eventually},
    http,
    process_container::ProcessContainer,
    service::{Service, free_address},
};

/// Time until the agent shows something.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The shell's part of each server: a page, one that takes three seconds, and one that leaves a process with memory behind. Such
/// a request takes longer than a poll, which would be no job.
const SERVE: &str = "b=/bin/busybox; $b mkdir -p /www/cgi-bin; echo ok > /www/ok; \
     page() { printf '#!/bin/sh\\n%s\\nprintf \"Content-type: text/plain\\\\r\\\\n\\\\r\\\\nok\\\\n\"\\n' \"$2\" > /www/cgi-bin/$1; \
     $b chmod +x /www/cgi-bin/$1; }; page slow 'sleep 3'; \
     page leak '(dd if=/dev/zero bs=12M count=1 | sleep 1000) >/dev/null 2>&1 & sleep 1.5'; httpd -p 80 -h /www; ";
/// Uses the CPU until a file exists.
const BURN: &str = "while [ ! -e /done ]; do :; done; sleep 1000";

/// The containers of Docker.
pub(super) struct Workloads<'a> {
    docker: &'a Docker,
    crashed: Container<'a>,
    /// Fails if it has a file `/go`.
    pub(super) refused: Container<'a>,
    _others: Vec<Container<'a>>,
    /// Those that end their work when they have a file `/done`.
    busy: Vec<Container<'a>>,
    /// Those whose problems end with them.
    removed: Vec<Container<'a>>,
    clients: Vec<Child>,
}

impl<'a> Workloads<'a> {
    pub(super) fn start(docker: &'a Docker) -> Self {
        let run = |name: &str, arguments: &[&str], script: &str| {
            Container::run(docker, name, arguments, &["sh", "-c", script])
        };
        let server = |name: &str, service: &str, script: &str| {
            let labels = [
                "--label=com.docker.compose.project=p".to_owned(),
                format!("--label=com.docker.compose.service={service}"),
            ];
            let arguments: Vec<_> = labels.iter().map(String::as_str).chain(["--cpus=0.2"]).collect();
            run(name, &arguments, &format!("{SERVE}{script}"))
        };
        // The second run continues.
        let crashed = run("crashed", &[], "[ -e /ran ] && sleep 1000; echo > /ran; sleep 3; exit 3");
        let refused = run("refused", &[], "while [ ! -e /go ]; do sleep 0.1; done; sleep 1; exit 1");
        let others = vec![
            run("looping", &[], "exit 1"),
            server("cpu-2", "cpu", "sleep 1000"),
            server("requests-1", "requests", "sleep 1000"),
            server("requests-2", "requests", "sleep 1000"),
            server("idle-1", "idle", "sleep 1000"),
        ];
        let leak = format!("{SERVE}sleep 1000");
        let removed = vec![server("idle-2", "idle", "sleep 1000"), run("leaking", &[], &leak)];
        let fill = "dd if=/dev/zero of=/held/file bs=1M count=61; while [ ! -e /done ]; do sleep 1; done; \
                    echo > /held/file; sleep 1000";
        // Again and again: with shorter durations, one kill is news for five seconds, and Alertmanager sends as rarely.
        let starve = "while [ ! -e /done ]; do sleep 2; dd if=/dev/zero of=/dev/null bs=128M count=1; done; sleep 1000";
        let busy = vec![
            run("starved", &["--memory=32m", "--memory-swap=32m"], starve),
            server("cpu-1", "cpu", BURN),
            server("slow-1", "slow", BURN),
            run("full", &["--memory=64m", "--memory-swap=64m", "--tmpfs=/held"], fill),
        ];
        let mut workloads =
            Self { docker, crashed, refused, _others: others, busy, removed, clients: Vec::new() };
        for (name, path, pause_s) in [
            ("cpu-1", "ok", "0.5"),
            ("cpu-2", "ok", "0.5"),
            ("requests-1", "ok", "0.2"),
            ("requests-2", "ok", "5"),
            ("idle-1", "ok", "1"),
            ("idle-2", "ok", "1"),
            ("slow-1", "cgi-bin/slow", "0.5"),
            // A pause of less than five seconds would not end a job.
            ("leaking", "cgi-bin/leak", "6"),
        ] {
            workloads.request(name, path, pause_s);
        }
        workloads.restart("looping");
        workloads
    }

    /// Restarts a container each second. With a restart policy, Docker waits twice as long before each restart.
    fn restart(&mut self, name: &str) {
        let socket = self.docker.socket().display();
        let script =
            format!("while :; do docker --host unix://{socket} start {name} >/dev/null 2>&1; sleep 1; done");
        self.clients.push(Command::new("sh").args(["-c", &script]).spawn().unwrap());
    }

    /// A client that requests a path again and again.
    fn request(&mut self, name: &str, path: &str, pause_s: &str) {
        let address = self.docker.run(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", name]);
        let script = format!(
            "while :; do /bin/busybox wget -q -O /dev/null http://{address}/{path}; sleep {pause_s}; done"
        );
        let mut client = self.docker.daemon().sandbox().command("sh");
        self.clients.push(client.args(["-c", &script]).spawn().unwrap());
    }

    /// Ends the container to which the driver has refused memory.
    pub(super) fn end_refused(&self) {
        self.docker.run(&["exec", &self.refused.id, "sh", "-c", "echo > /go"]);
    }

    /// Ends every problem.
    pub(super) fn recover(&mut self) {
        self.docker.run(&["start", &self.crashed.id]);
        for container in &self.busy {
            self.docker.run(&["exec", &container.id, "sh", "-c", "echo > /done"]);
        }
        self.removed.clear();
        self.end_clients();
    }

    fn end_clients(&mut self) {
        for mut client in self.clients.drain(..) {
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

impl Drop for Workloads<'_> {
    fn drop(&mut self) {
        self.end_clients();
    }
}

/// A server in a container whose request waits for a lock until [`release`](Self::release).
pub(super) struct Deadlocked {
    /// The name of its container.
    pub(super) name: String,
    address: SocketAddr,
    _request: TcpStream,
    _service: Service,
    _container: ProcessContainer,
}

impl Deadlocked {
    /// The agent must know the container before its server listens, and see a request before it follows others.
    pub(super) fn start(agent: &Agent) -> Result<Self, String> {
        let id = fresh_id();
        let name = id[..12].to_owned();
        let container = ProcessContainer::with_id(id)?;
        let shows = |family: &str| {
            let series = format!("{family}{{container=\"{name}\"");
            agent.metrics().contains(&series).then_some(())
        };
        eventually("the agent shows the container", TIMEOUT, || shows("glassbox_container_running"));
        let address = free_address();
        let service = Service::start("a server", address, "/ok", |_| {
            let mut server = Command::new(env!("CARGO_BIN_EXE_slow-server"));
            // It has no named pipe and no other server.
            container.command(server.args([&address.to_string(), "", ""]))
        });
        eventually("the agent follows its requests", TIMEOUT, || {
            http::get(address, "/ok").unwrap();
            shows("glassbox_container_health")
        });
        let mut request = TcpStream::connect(address).unwrap();
        request.write_all(b"GET /lock HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        Ok(Self { name, address, _request: request, _service: service, _container: container })
    }

    pub(super) fn release(&self) {
        http::get(self.address, "/release").unwrap();
    }
}
