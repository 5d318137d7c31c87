//! Responses to well-behaved clients.

use std::{
    io::{Read, Write},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use glassbox::snapshot::health::WorkHealth;

use super::{
    client::{connect, get, request},
    host::{Server, options, snapshot},
};

#[test]
fn metrics_are_text_0_0_4_of_the_snapshot_and_the_process() {
    let server = Server::with(2, options());
    let answer = get(server.address, "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let text = answer.text();
    for series in [
        "container_memory_rss{container=\"facefusion-1\"",
        "\nglassbox_ticks_total 1\n",
        "\nprocess_threads ",
    ] {
        assert!(text.contains(series), "{series}");
    }
}

#[test]
fn every_response_names_the_server() {
    let server = Server::start(options());
    // Before the first snapshot, most paths respond with 503.
    for path in ["/", "/metrics", "/healthz", "/none"] {
        assert_eq!(get(server.address, path).header("server"), Some("glassbox"), "{path}");
    }
}

#[test]
fn the_cadvisor_path_has_inherited_metrics_only() {
    let server = Server::with(2, options());
    let text = get(server.address, "/metrics/cadvisor").text();
    assert!(text.lines().all(|line| line.starts_with("container_") || line.starts_with("# ")), "{text}");
    assert!(text.contains("container_last_seen{"));
}

#[test]
fn every_path_says_that_a_demonstration_is_one() {
    let server = Server::start(options());
    let mut demo = snapshot(1);
    demo.agent.demo = true;
    server.publish(demo);
    for path in ["/metrics", "/metrics/cadvisor", "/healthz", "/readyz"] {
        let text = get(server.address, path).text();
        assert!(
            text.contains("DEMO: GPUs, and the containers that use them, are made up\n"),
            "{path}: {text}"
        );
    }
    assert!(get(server.address, "/metrics").text().contains("\nglassbox_demo_info 1\n"));
    assert!(get(server.address, "/").text().contains("Demonstration."));
    server.publish(snapshot(1));
    for path in ["/metrics", "/metrics/cadvisor", "/healthz", "/readyz", "/"] {
        assert!(!get(server.address, path).text().to_lowercase().contains("demo"), "{path}");
    }
}

#[test]
fn the_liveness_probe_of_a_container_fails_only_while_the_container_is_stuck() {
    let server = Server::start(options());
    let answer = get(server.address, "/healthz/container/any");
    assert_eq!(
        answer.status, 200,
        "a liveness probe must not restart a container because the agent has no data"
    );
    assert!(answer.text().starts_with("unknown: no snapshot yet"), "{}", answer.text());
    let mut container = glassbox_fixtures::host::docker();
    let path = format!("/healthz/container/{}", container.identity.container);
    for (health, status, text) in [
        (Some(WorkHealth::Idle), 200, "idle\n"),
        (Some(WorkHealth::Working), 200, "working\n"),
        (None, 200, "unknown: no requests of this container are counted\n"),
        (container.health, 503, "stuck for 12 s: blocked on a lock (lock)\n"),
    ] {
        container.health = health;
        server.publish(glassbox_fixtures::host::snapshot(vec![container.clone()]));
        thread::sleep(Duration::from_millis(50));
        let answer = get(server.address, &path);
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
    }
    assert_eq!(get(server.address, "/healthz/container/none").status, 404);
}

#[test]
fn before_the_first_snapshot_the_agent_is_healthy_but_not_ready() {
    let server = Server::start(options());
    for path in ["/metrics", "/metrics/cadvisor", "/readyz", "/"] {
        let answer = get(server.address, path);
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.text().starts_with("no snapshot yet"), "{path}");
    }
    assert_eq!(get(server.address, "/healthz").status, 200);
    server.publish(snapshot(0));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(get(server.address, "/readyz").text(), "ok\n");
    assert_eq!(get(server.address, "/metrics").status, 200);
}

#[test]
fn after_ten_ticks_without_a_snapshot_the_agent_is_unhealthy_until_the_next_one() {
    let mut options = options();
    options.tick = Duration::from_millis(100);
    let server = Server::start(options);
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(get(server.address, "/healthz").status, 503);
    server.publish(snapshot(0));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(get(server.address, "/healthz").text(), "ok\n");
    thread::sleep(Duration::from_millis(1100));
    for path in ["/healthz", "/readyz"] {
        let answer = get(server.address, path);
        assert_eq!(answer.status, 503);
        assert!(answer.text().starts_with("the last snapshot is "), "{}", answer.text());
    }
    // The old snapshot is still exported. The probes above report its age.
    assert_eq!(get(server.address, "/metrics").status, 200);
    server.publish(snapshot(0));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn the_page_links_the_paths_loads_nothing_and_escapes_everything() {
    let server = Server::with(3, options());
    let answer = get(server.address, "/");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let page = answer.text();
    for path in ["/metrics", "/metrics/cadvisor", "/healthz", "/readyz"] {
        assert!(page.contains(&format!("href=\"{path}\"")), "{path}");
    }
    assert!(page.contains(">facefusion-2</a><td class=\"s good\">running"));
    let detail = get(server.address, "/c/facefusion-2");
    assert_eq!(detail.status, 200);
    assert_eq!(detail.header("content-security-policy"), answer.header("content-security-policy"));
    assert!(detail.text().contains("facefusion/facefusion:3.5.0-cuda&lt;script&gt;"));
    assert!(detail.text().contains("<svg role=img"));
    for page in [page, detail.text()] {
        for loaded in ["<script", "src=", "url(", "://", "@import", "<link", "<form"] {
            assert!(!page.contains(loaded), "{loaded}");
        }
    }
}

#[test]
fn the_language_of_the_page_follows_the_browser_or_the_address() {
    let server = Server::with(1, options());
    let of = |path: &str, accepted: &str| {
        let answer = request(server.address, "GET", path, &format!("accept-language: {accepted}\r\n"));
        assert_eq!(answer.header("vary"), Some("accept-encoding, accept-language"));
        let tag = answer.header("content-language").unwrap().to_owned();
        assert!(answer.text().contains(&format!("<html lang=\"{tag}\">")), "{tag}");
        tag
    };
    for path in ["/", "/c/facefusion-0", "/c/none"] {
        assert_eq!(of(path, "zh-CN,zh;q=0.9,en;q=0.8"), "zh-CN", "{path}");
        assert_eq!(of(path, "en-US,en;q=0.5"), "en", "{path}");
        assert_eq!(of(&format!("{path}?lang=zh"), "en"), "zh-CN", "{path}");
        assert_eq!(of(&format!("{path}?lang=en"), "zh"), "en", "{path}");
    }
}

#[test]
fn unusual_pages_share_a_text_without_being_mixed_up() {
    let server = Server::with(30, options());
    let rows = |query: &str| get(server.address, query).text().matches("<tr><th scope=row>").count();
    for _ in 0..3 {
        assert_eq!((rows("/?q=facefusion-1"), rows("/?q=facefusion-29"), rows("/")), (11, 1, 30));
        let answer = request(server.address, "GET", "/?q=facefusion-29", "accept-encoding: gzip\r\n");
        let mut page = String::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut page).unwrap();
        assert_eq!(page.matches("<tr><th scope=row>").count(), 1);
    }
}

#[test]
fn the_page_lists_at_most_500_containers() {
    let server = Server::with(600, options());
    let page = get(server.address, "/").text();
    assert_eq!(page.matches("<tr><th scope=row>").count(), 500);
    assert!(page.contains("and 100 more"));
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::with(1, options());
    let answer = request(server.address, "HEAD", "/metrics/cadvisor", "");
    let length = get(server.address, "/metrics/cadvisor").body.len();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some(length.to_string().as_str()));
}

#[test]
fn other_methods_get_405_with_the_allowed_methods() {
    let server = Server::with(1, options());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        for path in ["/metrics", "/"] {
            let answer = request(server.address, method, path, "");
            assert_eq!(answer.status, 405, "{method}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method}");
        }
    }
}

#[test]
fn a_response_is_compressed_only_if_the_client_accepts_gzip() {
    let server = Server::with(20, options());
    let plain = get(server.address, "/metrics/cadvisor");
    for (asked, spoken) in
        [("gzip", true), ("br, gzip;q=0.1", true), ("gzip;q=0", false), ("identity", false)]
    {
        let headers = format!("accept-encoding: {asked}\r\n");
        let answer = request(server.address, "GET", "/metrics/cadvisor", &headers);
        assert_eq!(answer.header("content-encoding"), spoken.then_some("gzip"), "{asked}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        let mut body = Vec::new();
        if spoken {
            flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut body).unwrap();
            assert!(answer.body.len() * 4 < plain.body.len(), "{}", answer.body.len());
        } else {
            body.clone_from(&answer.body);
        }
        assert!(body == plain.body, "{asked}");
    }
}

#[test]
fn scrapes_of_one_snapshot_share_one_encode() {
    let server = Server::with(300, options());
    let before = server.counter("glassbox_server_encodes_total");
    server.publish(snapshot(300));
    let together = Barrier::new(16);
    let answers: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    get(server.address, "/metrics").body
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // One encode for the scrape that read `before`, and one for all sixteen clients.
    assert_eq!(server.counter("glassbox_server_encodes_total"), before + 2.0);
}

#[test]
fn a_new_snapshot_is_served_immediately() {
    let server = Server::with(1, options());
    for ticks in 2..20 {
        let mut next = snapshot(1);
        next.agent.ticks = ticks;
        server.publish(next);
        assert!(
            get(server.address, "/metrics").text().contains(&format!("\nglassbox_ticks_total {ticks}\n"))
        );
    }
}

#[test]
fn only_a_scrape_of_all_metrics_marks_a_snapshot_as_scraped() {
    let server = Server::start(options());
    let mut snapshot = snapshot(1);
    snapshot.delivery = snapshot.delivery.next();
    let delivery = snapshot.delivery.clone();
    server.publish(snapshot);
    for path in ["/", "/metrics/cadvisor", "/readyz"] {
        get(server.address, path);
        assert_eq!(delivery.scraped(), 0, "{path}");
    }
    get(server.address, "/metrics");
    assert_eq!(delivery.scraped(), 1);
}

#[test]
fn a_client_of_http_1_0_is_served() {
    let server = Server::with(1, options());
    let mut stream = connect(server.address);
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let all = String::from_utf8(super::client::rest(&mut stream)).unwrap();
    assert!(all.starts_with("HTTP/1.0 200 OK\r\n") && all.ends_with("\r\n\r\nok\n"), "{all}");
}

#[test]
fn the_server_stops_on_request_even_with_open_connections() {
    let server = Server::with(1, options());
    let address = server.address;
    let _silent = connect(address);
    let mut kept = connect(address);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(super::client::answer(&mut kept, false).unwrap().status, 200);
    let stopping = Instant::now();
    server.end();
    assert!(stopping.elapsed() < Duration::from_secs(2), "{:?}", stopping.elapsed());
    assert!(std::net::TcpStream::connect(address).is_err());
}
