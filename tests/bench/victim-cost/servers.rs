//! Real servers in the container. Their clients are outside, on the same CPU, and a rate is in requests per second of the CPU
//! time of both.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use glassbox_tests::{
    cgroup::Cgroup,
    measure::{cpu_time, get, rest},
    veth::{INSIDE, Interfaces, Kind},
    web::configure_servers,
};

use super::{Process, Victim, pin_to};

/// The ports on which the servers listen.
pub(super) const PORTS: [u16; 3] = [NGINX_PORT, NGINX_VETH_PORT, PYTHON_PORT];
const NGINX_PORT: u16 = 18_081;
const NGINX_VETH_PORT: u16 = 18_083;
const PYTHON_PORT: u16 = 18_082;
const PYTHON_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PYTHON_PORT);
/// Time in which a server must answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a server by name; `None` if there is no server with that name.
pub(super) fn start(name: &str, slice: Duration, cgroup: &Cgroup) -> Option<anyhow::Result<Box<dyn Victim>>> {
    match name {
        "nginx" => Some(Nginx::start(slice, cgroup, false).map(|it| Box::new(it) as _)),
        "nginx_veth" => Some(Nginx::start(slice, cgroup, true).map(|it| Box::new(it) as _)),
        "python" => Some(Python::start(slice, cgroup).map(|it| Box::new(it) as _)),
        _ => None,
    }
}

/// nginx with a file of 1 KiB, and wrk with 16 connections that are kept alive.
struct Nginx {
    slice: Duration,
    server: Process,
    /// Stopped between the measurements.
    client: Process,
    address: SocketAddr,
    _interfaces: Option<Interfaces>,
    _directory: tempfile::TempDir,
}

impl Nginx {
    /// `has_network` puts nginx into a network namespace of its own, which a pair of virtual Ethernet interfaces connects with
    /// wrk's.
    fn start(slice: Duration, cgroup: &Cgroup, has_network: bool) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("make a directory")?;
        let root = directory.path();
        std::fs::write(root.join("1k"), [b'x'; 1 << 10]).context("write a file")?;
        let (port, address) =
            if has_network { (NGINX_VETH_PORT, INSIDE) } else { (NGINX_PORT, Ipv4Addr::LOCALHOST) };
        // The interface gets its address after the start.
        let listen = if has_network { Ipv4Addr::UNSPECIFIED } else { address };
        let servers = format!(
            "server {{ listen {listen}:{port}; root {}; access_log off; location = /status {{ stub_status; }} }}",
            root.display()
        );
        let configuration = configure_servers(root, &servers).map_err(anyhow::Error::msg)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(configuration);
        if has_network {
            // SAFETY: no pointers, and async-signal-safe.
            unsafe { nginx.pre_exec(|| check(libc::unshare(libc::CLONE_NEWNET))) };
        }
        let server = spawn(&mut nginx, Some(cgroup))?;
        let interfaces = has_network.then(|| Interfaces::connect(server.id(), Kind::Veth)).transpose();
        let interfaces = interfaces.map_err(anyhow::Error::msg).context("connect nginx's network")?;
        let address = SocketAddr::from((address, port));
        wait_for(address, "/1k")?;
        let mut wrk = Command::new("wrk");
        wrk.args(["-t", "1", "-c", "16", "-d", "10h"]).arg(format!("http://{address}/1k"));
        let client = spawn(&mut wrk, None)?;
        client.signal(libc::SIGSTOP)?;
        Ok(Self { slice, server, client, address, _interfaces: interfaces, _directory: directory })
    }

    /// The number of requests that nginx has served, and the CPU time until then.
    fn progress(&self) -> anyhow::Result<(u64, Duration)> {
        let status = get(self.address, "/status", false)?;
        let spent = cpu_time(self.server.id())? + cpu_time(self.client.id())?;
        let text = String::from_utf8_lossy(&status.body).into_owned();
        // The third line has the numbers of accepted connections, handled connections, and requests.
        let requests = text.lines().nth(2).and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
        Ok((requests.with_context(|| format!("find the number of requests in {text:?}"))?, spent))
    }
}

impl Victim for Nginx {
    fn rate(&mut self) -> anyhow::Result<f64> {
        self.client.signal(libc::SIGCONT)?;
        rest(self.slice)?;
        let before = self.progress()?;
        rest(self.slice)?;
        let after = self.progress()?;
        self.client.signal(libc::SIGSTOP)?;
        ensure!(after.0 > before.0 + 100, "wrk sent only {} requests", after.0 - before.0);
        Ok((after.0 - before.0) as f64 / (after.1 - before.1).as_secs_f64())
    }
}

/// The HTTP server of Python's library, which computes for each request, and one connection to it.
struct Python {
    slice: Duration,
    server: Process,
    connection: BufReader<TcpStream>,
}

const PROGRAM: &str = "
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    def do_GET(self):
        sum(number * number for number in range(30000))
        self.send_response(200)
        self.send_header('Content-Length', '1024')
        self.end_headers()
        self.wfile.write(b'x' * 1024)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

impl Python {
    fn start(slice: Duration, cgroup: &Cgroup) -> anyhow::Result<Self> {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM, &PYTHON_PORT.to_string()]);
        let server = spawn(&mut command, Some(cgroup))?;
        wait_for(PYTHON_ADDRESS, "/")?;
        let connection = TcpStream::connect(PYTHON_ADDRESS).context("connect to Python")?;
        connection.set_nodelay(true).context("disable Nagle's algorithm")?;
        Ok(Self { slice, server, connection: BufReader::new(connection) })
    }

    /// Sends requests for a time, each after the response to the last. Returns the rate.
    fn send(&mut self) -> anyhow::Result<f64> {
        pin_to(0).context("pin the client to a CPU")?;
        let spent =
            |server: &Process| Ok::<_, anyhow::Error>(cpu_time(server.id())? + cpu_time(std::process::id())?);
        let (before, begun, mut count) = (spent(&self.server)?, Instant::now(), 0_u32);
        while begun.elapsed() < self.slice {
            self.connection
                .get_mut()
                .write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
                .context("send a request")?;
            self.read_response().context("read the response of Python")?;
            count += 1;
        }
        Ok(f64::from(count) / (spent(&self.server)? - before).as_secs_f64())
    }

    fn read_response(&mut self) -> io::Result<()> {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if self.connection.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.connection.read_exact(&mut [0; 1024])
    }
}

impl Victim for Python {
    fn rate(&mut self) -> anyhow::Result<f64> {
        // On a thread of its own, because the tools inherit the CPU of the thread that starts them.
        let sent = std::thread::scope(|scope| {
            let warm = || {
                self.send()?;
                self.send()
            };
            scope.spawn(warm).join()
        });
        sent.map_err(|_| anyhow::anyhow!("the client panicked"))?
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn wait_for(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match get(address, path, false) {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => anyhow::bail!("http://{address}{path} answers with {}", answer.status),
            Err(error) if begun.elapsed() > START_TIMEOUT => return Err(error),
            Err(_) => rest(Duration::from_millis(20))?,
        }
    }
}

/// Starts a program on the CPU of the workloads, in the container or outside. It enters the container before it creates
/// sockets, which belong to the cgroup in which they were created.
fn spawn(command: &mut Command, container: Option<&Cgroup>) -> anyhow::Result<Process> {
    let procs = |cgroup: &Cgroup| {
        let path = cgroup.path().join("cgroup.procs");
        std::fs::File::options().write(true).open(&path).with_context(|| format!("open {}", path.display()))
    };
    let procs = container.map(procs).transpose()?;
    let prepare = move || {
        // SAFETY: no pointers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if let Some(procs) = &procs {
            // SAFETY: one byte of a constant.
            let written = unsafe { libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) };
            if written != 1 {
                return Err(io::Error::last_os_error());
            }
        }
        pin_to(0)
    };
    // SAFETY: between fork and exec, only async-signal-safe calls are made, and nothing is allocated.
    unsafe { command.pre_exec(prepare) };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Process(command.spawn().with_context(|| format!("start {command:?}"))?))
}
