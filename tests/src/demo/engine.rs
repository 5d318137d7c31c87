//! A Docker Engine with the names and images of the demonstration's containers. It reports no events.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    thread,
};

use anyhow::Context as _;
use serde_json::json;

/// A container as the engine lists it.
pub(super) struct Listed<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) image: &'a str,
}

/// The longest request head that is read, in bytes.
const HEAD_BYTES: usize = 8 << 10;

/// The engine. Its socket is removed when dropped; its thread ends with the process.
pub(super) struct Engine {
    directory: tempfile::TempDir,
}

impl Engine {
    pub(super) fn start<'a>(containers: impl Iterator<Item = Listed<'a>>) -> anyhow::Result<Self> {
        let containers: Vec<_> = containers
            .map(|Listed { id, name, image }| {
                json!({ "Id": id, "Names": [format!("/{name}")], "Image": image, "State": "created", "Labels": {} })
            })
            .collect();
        let listing: Arc<str> = json!(containers).to_string().into();
        let engine = Self { directory: tempfile::tempdir().context("make a directory")? };
        let listener = UnixListener::bind(engine.socket()).context("listen")?;
        let serve = move || {
            for stream in listener.incoming().flatten() {
                let listing = Arc::clone(&listing);
                // If no thread can be started, the connection is closed.
                let _ = thread::Builder::new().spawn(move || answer(stream, &listing));
            }
        };
        thread::Builder::new().name("demo-engine".to_owned()).spawn(serve).context("start a thread")?;
        Ok(engine)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }
}

/// Answers the only request of a connection. The agent may disconnect at any time.
fn answer(mut stream: UnixStream, listing: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n")
        && head.len() < HEAD_BYTES
        && stream.read(&mut byte).is_ok_and(|read| read == 1)
    {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let whole = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let response = if path.contains("/events") {
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
    } else if path.contains("/containers/json") {
        whole("200 OK", listing)
    } else if path.contains("/_ping") {
        whole("200 OK", "OK")
    } else {
        whole("404 Not Found", "{\"message\":\"the demonstration does not implement this\"}")
    };
    if stream.write_all(response.as_bytes()).is_ok() {
        // The event stream stays open until the agent disconnects.
        let _ = stream.read(&mut byte);
    }
}
