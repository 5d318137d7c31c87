//! nginx, whose access log is the truth about requests, and programs that send many of them.

pub mod client;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    process_container::ProcessContainer,
    service::{Service, free_address},
};

/// Requests of one kind, as the server's log or the agent's metrics report them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// By class of the status, such as `2xx`.
    pub responses: BTreeMap<String, u64>,
    /// Bytes of the responses, with their heads.
    pub response_bytes: u64,
    /// Bytes of the requests, with their heads.
    pub request_bytes: u64,
}

impl Requests {
    /// Number of responses.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.responses.values().sum()
    }
}

/// The log of a server.
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    /// All requests.
    pub requests: Requests,
    /// The duration of each request in ms, in no order.
    pub durations_ms: Vec<u64>,
}

impl AccessLog {
    /// Reads lines of status, bytes sent, bytes received, and seconds.
    ///
    /// # Panics
    /// If a line is different.
    #[must_use]
    pub fn read(file: &Path) -> Self {
        let text =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
        let mut log = Self::default();
        // The last line may be incomplete.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let number = |index: usize| -> u64 {
                let field = fields.get(index).and_then(|field| field.replace('.', "").parse().ok());
                field.unwrap_or_else(|| panic!("a line of the access log, not {line:?}"))
            };
            *log.requests.responses.entry(format!("{}xx", number(0) / 100)).or_default() += 1;
            log.requests.response_bytes += number(1);
            log.requests.request_bytes += number(2);
            log.durations_ms.push(number(3));
        }
        log
    }

    /// The duration that a part of the requests does not exceed.
    #[must_use]
    pub fn quantile_ms(&self, part: f64) -> u64 {
        let mut sorted = self.durations_ms.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part) as usize).copied().unwrap_or_default()
    }
}

/// A running nginx. Its log starts with the requests that [`Service::start`] made.
pub struct Nginx {
    /// The container.
    pub container: ProcessContainer,
    /// Its IPv4 address; the IPv6 address has the same port.
    pub address: SocketAddr,
    log: PathBuf,
    _directory: tempfile::TempDir,
    _service: Service,
}

impl Nginx {
    /// Starts nginx in a new container that shares the host's network.
    ///
    /// # Errors
    /// The reason to skip the test.
    ///
    /// # Panics
    /// If nginx does not start.
    pub fn start() -> Result<Self, String> {
        needs("nginx")?;
        let container = ProcessContainer::new()?;
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        let address = free_address();
        let configuration =
            configure(directory.path(), &[address.to_string(), format!("[::1]:{}", address.port())])?;
        let service = Service::start("nginx", address, "/1k", |_| {
            let mut nginx = Command::new("nginx");
            nginx.arg("-c").arg(&configuration);
            container.command(&nginx)
        });
        let log = directory.path().join("access.log");
        Ok(Self { container, address, log, _directory: directory, _service: service })
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> AccessLog {
        AccessLog::read(&self.log)
    }
}

/// Writes a configuration with files of 1 KiB and 1 MiB, and returns its path. `/slow` answers some 300 requests per second
/// and lets the others wait.
///
/// # Errors
/// If the files cannot be written.
pub fn configure(directory: &Path, addresses: &[String]) -> Result<PathBuf, String> {
    let listen: String = addresses.iter().map(|address| format!("listen {address}; ")).collect();
    let root = directory.display();
    let written = fs::write(directory.join("1k"), vec![b'x'; 1 << 10])
        .and_then(|()| fs::write(directory.join("1m"), vec![b'x'; 1 << 20]));
    written.map_err(|error| format!("write {root}: {error}"))?;
    let servers = format!(
        "limit_req_zone $binary_remote_addr zone=slow:1m rate=300r/s;
  server {{
    {listen} root {root};
    location = /slow {{ limit_req zone=slow burst=1000; try_files /1k =404; }}
    location = /upload {{ return 204; }}
  }}"
    );
    configure_servers(directory, &servers)
}

/// Writes a configuration with these servers, and returns its path. Everything that nginx writes is in the directory.
///
/// # Errors
/// If the file cannot be written.
pub fn configure_servers(directory: &Path, servers: &str) -> Result<PathBuf, String> {
    let root = directory.display();
    let text = format!(
        "worker_processes 1; daemon off; master_process off; user root; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format truth '$status $bytes_sent $request_length $request_time';
  access_log {root}/access.log truth;
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  client_max_body_size 1g; keepalive_requests 100000000; default_type text/plain;
  {servers}
}}
"
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, text).map_err(|error| format!("write {}: {error}", file.display()))?;
    Ok(file)
}

/// Fails if a program is not installed.
///
/// # Errors
/// The reason to skip the test.
pub fn needs(program: &str) -> Result<(), String> {
    let found = ["/usr/sbin", "/usr/bin"].iter().any(|directory| Path::new(directory).join(program).exists());
    found.then_some(()).ok_or_else(|| format!("no {program} (cargo xtask setup --tests installs it)"))
}

/// Runs a load generator, and returns its output.
///
/// # Panics
/// If it fails.
pub fn load(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}
