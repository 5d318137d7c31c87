//! A webhook that records the messages of Alertmanager.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

/// The longest message that is read, in bytes.
const MESSAGE_BYTES: usize = 1 << 20;

/// An alert in a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Time since the webhook was started.
    pub at: Duration,
    /// The path of the request, which names the receiver.
    pub path: String,
    /// `firing` or `resolved`.
    pub status: String,
    /// The alert with its labels and annotations.
    pub alert: Value,
}

impl Notice {
    /// The value of a label; empty if there is none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.alert["labels"][name].as_str().unwrap_or_default()
    }
}

/// A webhook. Its thread ends with the process.
pub struct Webhook {
    /// Its address.
    pub address: SocketAddr,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Webhook {
    /// Starts to listen.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("listen: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("read the address: {error}"));
        let (notices, started) = (Arc::<Mutex<Vec<Notice>>>::default(), Instant::now());
        let recorded = Arc::clone(&notices);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let recorded = Arc::clone(&recorded);
                thread::spawn(move || {
                    if let Err(error) = serve(stream, started, &recorded) {
                        eprintln!("webhook: {error:#}");
                    }
                });
            }
        });
        Self { address, notices }
    }

    /// All notices so far.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers the requests of a connection until its end.
fn serve(stream: TcpStream, started: Instant, notices: &Mutex<Vec<Notice>>) -> anyhow::Result<()> {
    let mut writer = stream.try_clone().context("duplicate the connection")?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).context("read the head")? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).context("find the path")?.to_owned();
            } else if let Some((_, value)) =
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().with_context(|| format!("read {line}"))?;
            }
        }
        anyhow::ensure!(length <= MESSAGE_BYTES, "a message of {length} bytes");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).context("read the message")?;
        let message: Value = serde_json::from_slice(&body).context("parse the message")?;
        let alerts = message["alerts"].as_array().context("no alerts in the message")?;
        let notice = |alert: &Value| Notice {
            at: started.elapsed(),
            path: path.clone(),
            status: alert["status"].as_str().unwrap_or_default().to_owned(),
            alert: alert.clone(),
        };
        notices.lock().unwrap_or_else(PoisonError::into_inner).extend(alerts.iter().map(notice));
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").context("answer")?;
    }
}
