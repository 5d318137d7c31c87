//! One deadline for all reads and writes of a connection: a timeout per read would start again with every byte.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// When the other side must have answered.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    /// The deadline after this time.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    /// The time that is left.
    ///
    /// # Errors
    /// If it has passed.
    pub fn left(self) -> io::Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.missed()) } else { Ok(left) }
    }

    /// Applies the deadline to all reads and writes of the stream.
    #[must_use]
    pub const fn limit(self, stream: TcpStream) -> Limited {
        Limited { stream, deadline: self }
    }

    fn missed(self) -> io::Error {
        let text = format!("no response within {:?}", self.timeout);
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

/// A stream with a deadline for all reads and writes.
#[derive(Debug)]
pub struct Limited {
    stream: TcpStream,
    deadline: Deadline,
}

impl Limited {
    /// The kernel reports a timeout of a socket as `WouldBlock`.
    fn explained<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.deadline.missed(),
            _ => error,
        })
    }
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        let outcome = self.stream.read(buffer);
        self.explained(outcome)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        let outcome = self.stream.write(bytes);
        self.explained(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
