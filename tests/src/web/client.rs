//! A client that sends requests to [`Nginx`](super::Nginx) at a constant rate.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// One request per connection in this time.
const INTERVAL: Duration = Duration::from_millis(1);

/// Connections that are kept alive, each of which sends a request per millisecond.
pub struct Client {
    connections: Vec<TcpStream>,
    request: String,
}

impl Client {
    /// Opens connections for a number of requests per second, which is rounded up to thousands.
    ///
    /// # Errors
    /// If the server does not accept them.
    pub fn connect(address: SocketAddr, rate: u32) -> anyhow::Result<Self> {
        let connections = f64::from(rate) * INTERVAL.as_secs_f64();
        let connect = |_| {
            let connection = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
            connection.set_nodelay(true).context("disable Nagle's algorithm")?;
            Ok(connection)
        };
        let connections = (0..connections.ceil() as u32).map(connect).collect::<anyhow::Result<_>>()?;
        Ok(Self { connections, request: format!("GET /1k HTTP/1.1\r\nHost: {address}\r\n\r\n") })
    }

    /// Sends requests for a time and returns their number. Late intervals are made up for.
    ///
    /// # Errors
    /// If the server closes a connection.
    pub fn send_for(&mut self, time: Duration) -> anyhow::Result<u64> {
        let (begun, mut sent) = (Instant::now(), 0);
        let mut next = begun;
        while begun.elapsed() < time {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += INTERVAL;
            for connection in &mut self.connections {
                connection.write_all(self.request.as_bytes()).context("send a request")?;
            }
            for connection in &mut self.connections {
                read_response(connection)?;
                sent += 1;
            }
        }
        Ok(sent)
    }
}

/// Reads a response with a body of 1 KiB.
fn read_response(connection: &mut TcpStream) -> anyhow::Result<()> {
    let (mut received, mut length) = ([0; 4096], 0);
    loop {
        let count = connection.read(&mut received[length..]).context("read a response")?;
        ensure!(count > 0, "nginx closed the connection");
        length += count;
        let head = received[..length].windows(4).position(|window| window == b"\r\n\r\n");
        if head.is_some_and(|head| length >= head + 4 + 1024) {
            return Ok(());
        }
    }
}
