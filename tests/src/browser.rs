//! Chromium without a window, driven by its DevTools protocol over pipes. Its profile is a new directory.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, PipeWriter, Write as _, pipe},
    net::SocketAddr,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// Names of the program. The first one has no window system and is the smallest.
const PROGRAMS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
/// Timeout for each answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The sandbox needs user namespaces, which a container may not have. Only pages of the tests are opened.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];
/// The descriptors through which `--remote-debugging-pipe` reads and writes.
const READS: i32 = 3;
const WRITES: i32 = 4;

/// How a page is shown.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Width in CSS pixels.
    pub width: u32,
    /// Whether the user prefers dark colours.
    pub dark: bool,
    /// `Accept-Language`.
    pub language: &'static str,
}

/// A running browser with one tab. It is killed when dropped.
pub struct Browser {
    child: Child,
    commands: PipeWriter,
    messages: Receiver<Value>,
    /// Events since the last page was opened.
    events: Vec<Value>,
    session: Option<String>,
    next: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts the browser.
    ///
    /// # Errors
    /// If no program is found: the reason to skip a test. Or if it cannot be started.
    pub fn start() -> anyhow::Result<Self> {
        let program = find().map_err(anyhow::Error::msg)?;
        let profile = tempfile::tempdir().context("make a directory for the profile")?;
        let (reads, commands) = pipe().context("make a pipe")?;
        let (answers, writes) = pipe().context("make a pipe")?;
        let (reads_fd, writes_fd) = (reads.as_raw_fd(), writes.as_raw_fd());
        let mut command = Command::new(&program);
        command.args(FLAGS).arg("--remote-debugging-pipe");
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: the closure calls only async-signal-safe functions, on descriptors that are open until the child is started.
        unsafe {
            command.pre_exec(move || {
                // Elsewhere first, because each may have the number that the other one gets.
                let reads = libc::fcntl(reads_fd, libc::F_DUPFD, 10);
                let writes = libc::fcntl(writes_fd, libc::F_DUPFD, 10);
                if libc::dup2(reads, READS) < 0 || libc::dup2(writes, WRITES) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                libc::close(reads);
                libc::close(writes);
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        drop((reads, writes));
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                let parsed = message.ok().and_then(|message| serde_json::from_slice(&message).ok());
                let Some(message) = parsed else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Self { child, commands, messages, events: Vec::new(), session: None, next: 0, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach)?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    /// If that takes too long, or nothing answers at the address.
    pub fn open(&mut self, address: SocketAddr, path: &str, screen: Screen) -> anyhow::Result<()> {
        let Screen { width, dark, language } = screen;
        let metrics = json!({ "width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &media)?;
        self.call("Network.setExtraHTTPHeaders", &json!({ "headers": { "Accept-Language": language } }))?;
        self.events.clear();
        let opened = self.call("Page.navigate", &json!({ "url": format!("http://{address}{path}") }))?;
        if let Some(error) = opened["errorText"].as_str() {
            bail!("open {path}: {error}");
        }
        let deadline = Instant::now() + TIMEOUT;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.receive(deadline).with_context(|| format!("load {path}"))?;
            self.events.push(message);
        }
        Ok(())
    }

    /// The value of an expression of JavaScript in the page. The page's own policy does not apply to it.
    ///
    /// # Errors
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let arguments = json!({ "expression": expression, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", &arguments)?;
        if !result["exceptionDetails"].is_null() {
            bail!("evaluate {expression}: {}", result["exceptionDetails"]);
        }
        Ok(result["result"]["value"].take())
    }

    /// What the browser has reported since the page was opened: violations of its policy, errors and warnings.
    ///
    /// # Errors
    /// If the browser has ended.
    pub fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        // Events that were caused before have arrived when this is answered.
        self.evaluate("0")?;
        let complaints = self.events.iter().filter(|event| {
            let method = event["method"].as_str().unwrap_or_default();
            matches!(method, "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown")
        });
        Ok(complaints.map(|event| event["params"].to_string()).collect())
    }

    /// Role and name of each node of the accessibility tree, as screen readers see it.
    ///
    /// # Errors
    /// If the browser has ended.
    pub fn accessible(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}))?;
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().into_iter().flatten().filter(|node| node["ignored"] != true);
        Ok(nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect())
    }

    /// Saves a picture of the whole page, of at most this height.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn picture(&mut self, file: &Path, height_max: f64) -> anyhow::Result<()> {
        let metrics = self.call("Page.getLayoutMetrics", &json!({}))?;
        let size = &metrics["cssContentSize"];
        let height = size["height"].as_f64().unwrap_or(height_max).min(height_max);
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1 });
        let arguments = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", &arguments)?;
        let data = picture["data"].as_str().context("find the picture")?;
        let bytes = BASE64_STANDARD.decode(data).context("decode the picture")?;
        fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
    }

    fn call(&mut self, method: &str, arguments: &Value) -> anyhow::Result<Value> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": arguments });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let sent = self.commands.write_all(format!("{message}\0").as_bytes());
        sent.with_context(|| format!("send {method} to the browser"))?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut message = self.receive(deadline).with_context(|| format!("wait for {method}"))?;
            if message["id"] != self.next {
                self.events.push(message);
                continue;
            }
            if !message["error"].is_null() {
                bail!("{method}: {}", message["error"]);
            }
            return Ok(message["result"].take());
        }
    }

    fn receive(&mut self, deadline: Instant) -> anyhow::Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.messages.recv_timeout(left).context("the browser has ended or does not answer")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program.
///
/// # Errors
/// The reason to skip a test.
pub fn find() -> Result<PathBuf, String> {
    let directories: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let files =
        PROGRAMS.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    files.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        "no Chromium in PATH (cargo xtask setup --tests installs chromium-headless-shell with apt)".to_owned()
    })
}
