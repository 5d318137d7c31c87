//! A server in the cgroup of a container, and what the agent reports about it.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use glassbox_tests::{
    agent::Agent,
    cgroup::{Cgroup, ROOT, fresh_id, v2_root},
    http,
    service::free_address,
};

/// Starts an agent with the configuration of these tests. `None` if this host cannot run them, for the printed reason.
pub(super) fn agent(test: &str) -> Option<Agent> {
    agent_with(test, "")
}

/// The same, with further configuration.
pub(super) fn agent_with(test: &str, configuration: &str) -> Option<Agent> {
    can_run(test).then(|| start_agent(configuration))
}

/// Whether this host can run these tests. Prints why not.
pub(super) fn can_run(test: &str) -> bool {
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } != 0 {
        glassbox_tests::skip(test, "needs root");
        return false;
    }
    if v2_root().is_none() {
        glassbox_tests::inapplicable(test, "needs a cgroup v2 hierarchy");
        return false;
    }
    true
}

/// Starts an agent that finds no containers but those of these tests.
pub(super) fn start_agent(configuration: &str) -> Agent {
    Agent::start(&format!(
        "tick_ms = 500\n{configuration}[docker]\nenabled = false\n[podman]\nsockets = []\n[containerd]\nsockets = []\n[cri]\nsockets = []\n",
    ))
}

/// Length of the beginning of an ID that is shown.
const SHOWN: usize = 12;

/// A server with one purpose.
pub(super) struct Server {
    id: String,
    address: SocketAddr,
    process: Child,
    pipe: PathBuf,
    upstream: TcpListener,
    _directory: tempfile::TempDir,
    cgroups: Vec<Cgroup>,
}

impl Server {
    /// Starts a server, on one CPU or on all, after the agent has discovered its cgroup.
    pub(super) fn start(agent: &Agent, cpu: Option<usize>) -> Self {
        let id = fresh_id();
        let v1 = ["cpu", "cpuacct", "memory", "blkio"].map(|name| Path::new(ROOT).join(name));
        let roots = v1.into_iter().filter(|root| root.join("cgroup.procs").exists()).chain(v2_root());
        let path = format!("health/{id}");
        let cgroups: Vec<_> = roots.map(|root| Cgroup::new(&root, &path).unwrap()).collect();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !agent.metrics().contains(&id[..SHOWN]) {
            assert!(Instant::now() < deadline, "the agent does not discover {id}");
            thread::sleep(Duration::from_millis(50));
        }
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let name = CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free_address();
        let lists: Vec<_> = cgroups
            .iter()
            .map(|cgroup| File::options().write(true).open(cgroup.path().join("cgroup.procs")).unwrap())
            .collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_slow-server"));
        command.args([
            &address.to_string(),
            pipe.to_str().unwrap(),
            &upstream.local_addr().unwrap().to_string(),
        ]);
        // SAFETY: async-signal-safe calls only; the descriptors are open until the child has started.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                for list in &lists {
                    if libc::write(list.as_raw_fd(), b"0".as_ptr().cast(), 1) != 1 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                if let Some(cpu) = cpu {
                    let mut set: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(cpu, &mut set);
                    libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
                }
                Ok(())
            });
        }
        let process = command.spawn().unwrap();
        let server = Self { id, address, process, pipe, upstream, _directory: directory, cgroups };
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the server does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        // The first request shows the agent that the port serves HTTP.
        while server.state(agent).is_none() {
            assert!(Instant::now() < deadline, "no health: {}", server.lines(agent).join("\n"));
            server.request("/ok").join().unwrap();
            thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// Opens a connection and sends this text.
    pub(super) fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// Sends a request, and waits for the response in a thread.
    pub(super) fn request(&self, path: &str) -> thread::JoinHandle<()> {
        let (address, path) = (self.address, path.to_owned());
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
            let mut answer = [0; 64];
            // The server may be killed at the end of a test.
            let _ = stream.read(&mut answer);
        })
    }

    /// Lets it accept no further connections, while one is opened every half second. Returns what ends this when dropped.
    pub(super) fn pause(&self) -> Pause {
        let mut pausing = TcpStream::connect(self.address).unwrap();
        pausing.write_all(b"GET /pause HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert!(pausing.read(&mut [0; 64]).unwrap() > 0);
        let (address, (end, ended)) = (self.address, mpsc::channel::<()>());
        let opening = thread::spawn(move || {
            let mut waiting = Vec::new();
            while ended.recv_timeout(Duration::from_millis(500)) == Err(mpsc::RecvTimeoutError::Timeout) {
                waiting.push(TcpStream::connect(address).unwrap());
            }
        });
        Pause { end: Some((pausing, end)), opening: Some(opening) }
    }

    /// Writes a file of its cgroup in the v1 hierarchy `controller`. Returns whether there is one.
    pub(super) fn limit(&self, controller: &str, file: &str, value: &str) -> bool {
        let is_there = |cgroup: &&Cgroup| cgroup.path().starts_with(Path::new(ROOT).join(controller));
        let cgroup = self.cgroups.iter().find(is_there);
        cgroup.is_some_and(|cgroup| fs::write(cgroup.path().join(file), value).is_ok())
    }

    /// Gives its later threads precedence over all ordinary processes. Shares of cgroups and nice values would depend on what
    /// else runs on this host.
    pub(super) fn prefer(&self) {
        // A v1 cgroup may have no time for real-time threads.
        self.leave_shares();
        let first = libc::sched_param { sched_priority: 1 };
        // SAFETY: a live parameter; the child is ours. Threads inherit the policy.
        let failed = unsafe {
            libc::sched_setscheduler(self.process.id().cast_signed(), libc::SCHED_FIFO, &raw const first)
        };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    }

    /// Moves it to the root of the v1 hierarchy of CPU shares, if there is one, where it competes with each other process.
    pub(super) fn leave_shares(&self) {
        let _ = fs::write(Path::new(ROOT).join("cpu/cgroup.procs"), self.process.id().to_string());
    }

    /// Puts another process into its container.
    pub(super) fn enter(&self, pid: i32) {
        self.cgroups.iter().for_each(|cgroup| cgroup.enter(pid).unwrap());
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: i32) {
        // SAFETY: no pointers; the child is ours and was not waited for.
        unsafe { libc::kill(self.process.id().cast_signed(), signal) };
    }

    /// Ends what its request reads.
    pub(super) fn end_of_pipe(&self) {
        drop(File::options().write(true).open(&self.pipe).unwrap());
    }

    /// Closes the connection that its request has opened.
    pub(super) fn close_upstream(&self) {
        drop(self.upstream.accept().unwrap());
    }

    /// The name under which the agent shows it.
    pub(super) fn name(&self) -> &str {
        &self.id[..SHOWN]
    }

    fn lines(&self, agent: &Agent) -> Vec<String> {
        let metrics = agent.metrics();
        metrics.lines().filter(|line| line.contains(&self.id[..SHOWN])).map(str::to_owned).collect()
    }

    /// State and reason.
    pub(super) fn state(&self, agent: &Agent) -> Option<(String, String)> {
        let lines = self.lines(agent);
        let is_current =
            |line: &&String| line.starts_with("glassbox_container_health{") && line.ends_with(" 1");
        let line = lines.iter().find(is_current)?;
        Some((label(line, "state"), label(line, "reason")))
    }

    /// Seconds by activity.
    pub(super) fn seconds(&self, agent: &Agent) -> BTreeMap<String, f64> {
        let lines = self.lines(agent);
        let lines = lines.iter().filter(|line| line.starts_with("glassbox_container_work_seconds_total{"));
        lines
            .map(|line| {
                (
                    label(line, "activity"),
                    line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).unwrap(),
                )
            })
            .collect()
    }

    /// Status of its liveness probe, and the text.
    pub(super) fn probe(&self, agent: &Agent) -> (u16, String) {
        let answer = http::get(agent.address, &format!("/healthz/container/{}", &self.id[..SHOWN])).unwrap();
        (answer.status, answer.body)
    }
}

/// A server that accepts no connections, and a thread that opens some.
pub(super) struct Pause {
    end: Option<(TcpStream, mpsc::Sender<()>)>,
    opening: Option<thread::JoinHandle<()>>,
}

impl Drop for Pause {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.opening.take().map(thread::JoinHandle::join);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn label(line: &str, name: &str) -> String {
    let value = line.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
    value.unwrap_or_else(|| panic!("no {name}: {line}")).0.to_owned()
}
