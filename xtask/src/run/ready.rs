//! Waits until an HTTP service is ready.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::processes::Processes;

/// Time after which a service that is not ready is an error.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Time between two requests, and timeout of a request.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum length that is read. A status line is shorter.
const LINE_BYTES: u64 = 128;

/// Waits until a request for `path` returns status 200.
pub(super) fn wait(processes: &mut Processes, address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let reason = match status(address, path) {
            Ok(line) if line.contains(" 200 ") => return Ok(()),
            Ok(line) => line,
            Err(error) => error.to_string(),
        };
        anyhow::ensure!(
            started.elapsed() < TIMEOUT,
            "http://{address}{path} is not ready after {} s: {reason}",
            TIMEOUT.as_secs()
        );
        processes.check()?;
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The status line of the response.
fn status(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, REQUEST_TIMEOUT)?;
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_service_is_not_ready_until_it_returns_200() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = std::thread::spawn(move || {
            for answer in ["503 Service Unavailable", "200 OK"] {
                let (stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                BufReader::new(&stream).read_line(&mut request).unwrap();
                assert_eq!(request, "GET /readyz HTTP/1.1\r\n");
                write!(&stream, "HTTP/1.1 {answer}\r\n\r\n").unwrap();
            }
        });
        wait(&mut Processes::default(), address, "/readyz").unwrap();
        service.join().unwrap();
        assert!(status(address, "/readyz").is_err());
    }
}
