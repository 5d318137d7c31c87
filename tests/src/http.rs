//! A minimal HTTP client for the agent, Prometheus and Alertmanager: version 1.0, so that responses are not chunked.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Context as _;

/// Timeout for each step of a response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The response of a server.
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Requests a path with its query, if any.
///
/// # Errors
/// If the server does not answer, or not in HTTP.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    ask(address, path, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// Sends JSON to a path.
///
/// # Errors
/// As [`get`].
pub fn post(address: SocketAddr, path: &str, json: &str) -> anyhow::Result<Answer> {
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        json.len()
    );
    ask(address, path, &(head + json))
}

fn ask(address: SocketAddr, path: &str, request: &str) -> anyhow::Result<Answer> {
    let asked = || format!("ask http://{address}{path}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(asked)?;
    stream.set_read_timeout(Some(TIMEOUT)).with_context(asked)?;
    stream.set_write_timeout(Some(TIMEOUT)).with_context(asked)?;
    stream.write_all(request.as_bytes()).with_context(asked)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(asked)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(asked)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.with_context(asked)?, body: body.to_owned() })
}

/// Escapes text for a query string: all but the unreserved characters become `%XX`.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
