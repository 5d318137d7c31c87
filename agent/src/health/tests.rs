//! Servers that answer, refuse, hang or send one byte at a time.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    time::Instant,
};

use super::*;

/// The outcome for a server that treats one connection like this.
fn asked(serve: impl FnOnce(TcpStream) + Send + 'static) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    // Never joined: a server may wait for the end of the connection.
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    ask_at(listen, None)
}

fn ask_at(listen: SocketAddr, web_config: Option<PathBuf>) -> Result<String, String> {
    let options = Options { listen, web_config, client: None, timeout: Duration::from_millis(500) };
    ask(&options).map_err(|error| format!("{error:#}"))
}

/// Reads the request and sends a response.
fn respond(mut stream: TcpStream, response: &str) {
    let mut request = [0; 1024];
    let length = stream.read(&mut request).unwrap();
    assert!(request[..length].starts_with(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:"));
    stream.write_all(response.as_bytes()).unwrap();
}

#[test]
fn a_healthy_agent_is_healthy_and_others_are_not() {
    let healthy = asked(|stream| respond(stream, "HTTP/1.1 200 OK\r\n\r\nok\n")).unwrap();
    assert!(healthy.starts_with("healthy: 127.0.0.1:") && healthy.ends_with(": ok"), "{healthy}");
    let old = asked(|stream| respond(stream, "HTTP/1.1 503 No\r\n\r\nthe last snapshot is 12s old\n"));
    let error = old.unwrap_err();
    assert!(error.starts_with("unhealthy: ") && error.ends_with("the last snapshot is 12s old"), "{error}");
    let error = asked(|stream| respond(stream, "HTTP/1.1 200 OK\r\n\r\n<html>\n")).unwrap_err();
    assert!(error.starts_with("unhealthy: "), "{error}");
}

#[test]
fn an_agent_that_does_not_run_is_reported_with_its_address() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask_at(free, None).unwrap_err();
    assert!(error.contains(&format!("http://{free}/healthz (is it running?)")), "{error}");
    assert!(error.contains("refused"), "{error}");
    let error = ask_at("127.0.0.1:0".parse().unwrap(), None).unwrap_err();
    assert!(error.contains("no fixed port") && error.contains("--listen"), "{error}");
}

#[test]
fn a_server_that_hangs_or_sends_slowly_ends_at_the_timeout() {
    let started = Instant::now();
    let error = asked(|stream| {
        std::thread::sleep(Duration::from_secs(5));
        drop(stream);
    })
    .unwrap_err();
    assert!(error.contains("no response within 500ms"), "{error}");
    let error = asked(|mut stream| {
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    })
    .unwrap_err();
    assert!(error.contains("no response within 500ms"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn an_unspecified_address_is_asked_on_loopback() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let listen = listener.local_addr().unwrap();
    std::thread::spawn(move || respond(listener.accept().unwrap().0, "HTTP/1.1 200 OK\r\n\r\nok\n"));
    let healthy = ask_at(listen, None).unwrap();
    assert!(healthy.contains("127.0.0.1:"), "{healthy}");
}

#[test]
fn with_an_unreadable_web_configuration_both_schemes_are_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // The first connection is a TLS handshake.
        drop(listener.accept().unwrap());
        respond(listener.accept().unwrap().0, "HTTP/1.1 200 OK\r\n\r\nok\n");
    });
    ask_at(listen, Some("/nowhere/web.yml".into())).unwrap();
}
