//! uvicorn, which is installed with Gradio. Its application logs requests, and the clients report the bytes.

use std::{fs, path::Path, process::Command, time::Duration};

use glassbox_tests::{
    agent::Agent,
    gradio::Gradio,
    process_container::ProcessContainer,
    service::{Service, free_address},
    skip,
    web::{load, needs},
};

use super::counted::{ALONE, Counted, WITHOUT_DOCKER, agent, assert_quantiles, watched};

/// Logs the class of each status. `/chunked` is chunked, because it does not give a length. `/slow` takes up to 200 ms, and
/// logs how long.
const APPLICATION: &str = "
import asyncio, itertools, sys, time
NUMBERS = itertools.count()
LOG = open(sys.argv[2], 'a', buffering=1)
async def app(scope, receive, send):
    if scope['type'] != 'http':
        return
    while (await receive()).get('more_body'):
        pass
    begun = time.monotonic()
    if scope['path'] == '/slow':
        await asyncio.sleep(next(NUMBERS) * 7 % 20 / 100)
    status = 404 if scope['path'] == '/missing' else 200
    headers = [(b'content-length', b'1000')] if scope['path'] != '/chunked' else []
    LOG.write(f'{status // 100}xx\\n')
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    for last in (False, True):
        await send({'type': 'http.response.body', 'body': b'x' * 500, 'more_body': not last})
    if scope['path'] == '/slow':
        LOG.write(f'took {time.monotonic() - begun}\\n')
import uvicorn
uvicorn.run(app, host=['127.0.0.1', '::1'], port=int(sys.argv[1]), log_level='error', access_log=False)
";

fn logged(file: &Path) -> (u64, u64) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let count = |class: &str| text.lines().filter(|line| *line == class).count() as u64;
    (count("2xx"), count("4xx"))
}

/// Durations of the requests to `/slow`, in seconds.
fn logged_s(file: &Path) -> Vec<f64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut durations_s: Vec<f64> =
        text.lines().filter_map(|line| line.strip_prefix("took ")?.parse().ok()).collect();
    durations_s.sort_by(f64::total_cmp);
    durations_s
}

/// The bytes of all responses with their heads, from the report of ab or h2load.
fn received_bytes(report: &str) -> u64 {
    let of_ab = || {
        report.lines().find_map(|line| line.strip_prefix("Total transferred:")?.trim().strip_suffix(" bytes"))
    };
    let of_h2load = || {
        let line = report.lines().find_map(|line| line.strip_prefix("traffic: "))?;
        Some(line.split_once('(')?.1.split_once(") total")?.0)
    };
    of_ab()
        .or_else(of_h2load)
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or_else(|| panic!("bytes in {report}"))
}

/// The bytes of all requests with their heads, from the report of ab, which has them if the requests have bodies.
fn sent_bytes(report: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix("Total body sent:"))?;
    Some(line.trim().parse().unwrap_or_else(|error| panic!("{error}: bytes in {report}")))
}

#[test]
fn requests_and_bytes_of_uvicorn_are_those_that_it_and_its_client_report() {
    let test = "requests_and_bytes_of_uvicorn_are_those_that_it_and_its_client_report";
    let _alone = ALONE.lock();
    let started = ["ab", "h2load", "wrk"].into_iter().try_for_each(needs).and_then(|()| {
        let python = Gradio::find("5.50.0")?;
        Ok((python, agent(WITHOUT_DOCKER)?, ProcessContainer::new()?))
    });
    let (python, agent, container) = match started {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let directory = tempfile::tempdir().unwrap();
    let (script, log) = (directory.path().join("app.py"), directory.path().join("log"));
    fs::write(&script, APPLICATION).unwrap();
    let address = free_address();
    let _service = Service::start("uvicorn", address, "/", |_| {
        let mut command = Command::new(python.python());
        command.arg(&script).arg(address.port().to_string()).arg(&log);
        container.command(&command)
    });
    watched(&agent, &container.id);
    assert_slow(&agent, &container.id, &format!("http://{address}/slow"), &log);
    let mut before = Counted::read(&agent, &container.id).requests();
    let body = directory.path().join("body");
    fs::write(&body, "x".repeat(5_000)).unwrap();
    // Only h2load keeps connections to uvicorn alive: ab sends requests of version 1.0.
    let kept = &["--h1", "-n", "10000", "-c", "16"][..];
    let upload = ["-q", "-n", "500", "-c", "16", "-T", "text/plain", "-p", body.to_str().unwrap()];
    let loads = [
        ("h2load", kept, ""),
        ("h2load", &["--h1", "-n", "1000", "-c", "16"], "missing"),
        ("h2load", &["--h1", "-n", "1000", "-c", "16"], "chunked"),
        ("ab", &["-q", "-n", "1000", "-c", "16"], ""),
        ("ab", &["-q", "-n", "500", "-c", "16"], "chunked"),
        ("ab", &upload[..], ""),
    ];
    for (host, (program, arguments, path)) in
        ["127.0.0.1", "[::1]"].into_iter().flat_map(|host| loads.map(|load| (host, load)))
    {
        let mut command = Command::new(program);
        command.args(arguments).arg(format!("http://{host}:{}/{path}", address.port()));
        let report = load(command);
        let bytes = received_bytes(&report);
        std::thread::sleep(Duration::from_millis(500));
        let after = Counted::read(&agent, &container.id).requests();
        let count = |class: &str| after.responses.get(class).copied().unwrap_or_default();
        let what = format!("{program} {arguments:?} {host} /{path}");
        assert_eq!((count("2xx"), count("4xx")), logged(&log), "{what}");
        assert_eq!(after.response_bytes - before.response_bytes, bytes, "{what}");
        let sent = after.request_bytes - before.request_bytes;
        assert_eq!(sent_bytes(&report).unwrap_or(sent), sent, "{what}");
        assert_eq!(sent_bytes(&report).is_some(), arguments == upload, "{what}");
        println!(
            "uvicorn, {what}: {} requests, {bytes} bytes received, {sent} sent",
            after.count() - before.count()
        );
        before = after;
    }
    assert_wrk(&agent, &container.id, &format!("http://{address}/"), &log);
}

/// The first load, so that nearly all durations that were counted until then are its own.
fn assert_slow(agent: &Agent, id: &str, url: &str, log: &Path) {
    let mut command = Command::new("h2load");
    command.args(["--h1", "-n", "2000", "-c", "64", url]);
    load(command);
    std::thread::sleep(Duration::from_millis(500));
    let durations_s = logged_s(log);
    assert_eq!(durations_s.len(), 2_000);
    assert_quantiles(agent, id, |part| durations_s[(2_000.0 * part) as usize]);
}

/// wrk stops with some requests under way. The application logs them if it still receives them, and nobody receives their
/// responses.
fn assert_wrk(agent: &Agent, id: &str, url: &str, log: &Path) {
    const CONNECTIONS: u64 = 16;
    let counts = || {
        let counted = Counted::read(agent, id);
        let answered = counted.requests().responses.get("2xx").copied().unwrap_or_default();
        (answered, counted.sum("aborted_requests_total"), logged(log).0)
    };
    let before = counts();
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", "1s", url]);
    load(command);
    std::thread::sleep(Duration::from_secs(1));
    let after = counts();
    let (answered, aborted, logged) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    println!("uvicorn, wrk: {logged} requests logged, {answered} answered, {aborted} aborted");
    assert!(answered > 100 && aborted <= CONNECTIONS, "{answered}, {aborted}");
    assert!((answered..=answered + aborted).contains(&logged), "{answered} to {}", answered + aborted);
    assert_eq!(Counted::read(agent, id).sum("requests_in_flight"), 0);
}
