//! node_exporter, the reference for the format of the web configuration.

use std::{
    env,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::service::free_address;

/// Names the program. The default is `prometheus-node-exporter` or `node_exporter` in PATH. `cargo xtask test` sets it.
pub const VARIABLE: &str = "GLASSBOX_NODE_EXPORTER";
/// Timeout for node_exporter to listen or exit.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Finds the program.
///
/// # Errors
/// If it is missing. The error contains the remedy.
pub fn find() -> Result<PathBuf, String> {
    let in_path = || {
        let directories: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        let names = ["prometheus-node-exporter", "node_exporter"];
        names
            .iter()
            .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
            .find(|it| it.is_file())
    };
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    named.filter(|program| program.is_file()).or_else(in_path).ok_or_else(|| {
        format!("no prometheus-node-exporter in {VARIABLE} or PATH (cargo xtask setup --tests downloads it)")
    })
}

/// Whether node_exporter listens with a web configuration, or else its error.
///
/// # Panics
/// If it cannot be started, or neither listens nor exits.
pub fn accepts(program: &Path, web_config: &Path) -> Result<(), String> {
    let address = free_address();
    let mut child = Command::new(program)
        .arg(format!("--web.config.file={}", web_config.display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--collector.disable-defaults"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let ended = child.try_wait().unwrap_or_else(|error| panic!("wait for node_exporter: {error}"));
        if ended.is_some() {
            let output = child.wait_with_output().unwrap_or_else(|error| panic!("read its output: {error}"));
            return Err(String::from_utf8_lossy(&output.stderr)
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned());
        }
        if TcpStream::connect(address).is_ok() {
            // It listens before it reads the configuration, so it may exit a moment later.
            std::thread::sleep(Duration::from_millis(500));
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                continue;
            }
            let _ = child.kill();
            let _ = child.wait();
            return Ok(());
        }
        assert!(Instant::now() < deadline, "node_exporter neither listens nor exits");
        std::thread::sleep(Duration::from_millis(20));
    }
}
