//! HTTP over Docker's Unix socket: one connection per request, and responses of limited size. If the listener is
//! neither root nor the agent's own user, the limits are lower.

use std::{future::poll_fn, path::Path, pin::Pin};

use anyhow::Context as _;
use bytes::Bytes;
use hyper::{
    Request, StatusCode,
    body::{Body as _, Incoming},
    client::conn::http1,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, task::JoinHandle};

use super::{lines::Lines, messages::Event};
use crate::containers::peer_trust::{self, Trust};

/// Maximum size of a listing. A listing of a thousand containers has some 2 MB.
pub(super) const LISTING_BYTES: usize = 32 << 20;
/// Maximum size of other responses. Several may be in progress at a time.
pub(super) const RESPONSE_BYTES: usize = 4 << 20;
/// Maximum size of an event. It contains all labels of its container.
const EVENT_BYTES: usize = 1 << 20;
/// Maximum length of an error response in an error message.
const ERROR_BYTES: usize = 256;

/// The body of a response, with how far its sender is trusted.
pub(super) struct Response {
    body: Incoming,
    pub(super) trust: Trust,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Drop for Response {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Sends a GET request and waits for the head of its response.
///
/// # Errors
/// If no process listens on `socket`, or if the response is not HTTP with status 200.
pub(super) async fn get(socket: &Path, target: &str) -> anyhow::Result<Response> {
    let stream = UnixStream::connect(socket).await?;
    let trust = peer_trust::of(&stream);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Errors of the connection appear in the response.
    let connection = tokio::spawn(connection);
    let request = Request::get(target).header(HOST, "docker").body(String::new())?;
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let response = Response { body, trust, connection };
    if head.status != StatusCode::OK {
        let text = response.whole(RESPONSE_BYTES).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(ERROR_BYTES)]).into_owned();
        anyhow::bail!("status {}: {}", head.status, text.trim_end());
    }
    Ok(response)
}

impl Response {
    /// The complete body.
    ///
    /// # Errors
    /// If it is larger than `most_bytes`, or than a lower limit for a peer with limited trust, or if it ends too early.
    pub(super) async fn whole(mut self, most_bytes: usize) -> anyhow::Result<Vec<u8>> {
        let most_bytes = self.trust.limit(most_bytes);
        let mut whole = Vec::new();
        while let Some(bytes) = self.more().await? {
            anyhow::ensure!(
                whole.len() + bytes.len() <= most_bytes,
                "the response is larger than {most_bytes} bytes"
            );
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    async fn more(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            match frame.transpose()?.map(hyper::body::Frame::into_data) {
                Some(Ok(bytes)) => return Ok(Some(bytes)),
                Some(Err(_)) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The event stream: one JSON object per line.
pub(super) struct Events {
    response: Response,
    lines: Lines,
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        let lines = Lines::new(response.trust.limit(EVENT_BYTES));
        Self { response, lines }
    }

    /// The next event; `None` at the end of the stream. May be cancelled and called again.
    ///
    /// # Errors
    /// If the stream fails, or if a line is too long or is not an event.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(line) = self.lines.next().context("find the end of an event")? {
                return Ok(Some(serde_json::from_slice(&line).context("read an event")?));
            }
            match self.response.more().await? {
                Some(bytes) => self.lines.add(&bytes),
                None => return Ok(None),
            }
        }
    }
}
