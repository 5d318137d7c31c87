//! The log of slow requests.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::container::{Server, agent_with};

/// A field of a line, without quotes.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.split_once(&format!(" {name}="))?.1;
    Some(value.split(' ').next()?.trim_matches('"'))
}

fn number(line: &str, name: &str) -> f64 {
    let value = field(line, name).unwrap_or_else(|| panic!("no {name} in {line}"));
    value.parse().unwrap_or_else(|_| panic!("{name} is no number in {line}"))
}

#[test]
fn a_slow_request_is_logged_with_what_the_time_was_spent_on() {
    let test = "a_slow_request_is_logged_with_what_the_time_was_spent_on";
    let Some(agent) = agent_with(test, "[requests]\nslow_after_ms = 1000\n") else { return };
    let servers =
        ["on_cpu", "disk", "socket", "idle"].map(|activity| (activity, Server::start(&agent, None)));
    let begun = Instant::now();
    let paths = ["/burn", "/disk", "/upstream", "/lock"];
    let requests: Vec<_> =
        servers.iter().zip(paths).map(|((_, server), path)| server.request(path)).collect();
    thread::sleep(Duration::from_secs(5));
    servers[1].1.end_of_pipe();
    servers[2].1.close_upstream();
    servers[3].1.request("/release").join().unwrap();
    requests.into_iter().for_each(|request| request.join().unwrap());
    let longest = begun.elapsed().as_secs_f64();
    // Until the next two ticks.
    thread::sleep(Duration::from_secs(2));
    let log = agent.log();
    for (activity, server) in &servers {
        // The agent also sees the containers of tests that run at the same time.
        let is_own = |line: &&str| field(line, "container") == Some(server.name());
        let lines: Vec<_> = log.lines().filter(is_own).collect();
        let [line] = lines[..] else { panic!("one line of {}, not {lines:?}: {log}", server.name()) };
        println!("{line}");
        assert_eq!(
            ["route", "method", "code", "end"].map(|name| field(line, name)),
            [Some("other"), Some("GET"), Some("200"), Some("complete")]
        );
        let duration = number(line, "duration_s");
        assert!(duration > 4.5 && duration <= longest, "{line}");
        assert!(number(line, "first_byte_s") <= duration, "{line}");
        let split =
            ["gpu", "nvidia_driver", "on_cpu", "throttled", "waiting_for_cpu", "disk", "socket", "idle"];
        let sum: f64 = split.iter().map(|activity| number(line, &format!("{activity}_s"))).sum();
        assert!((sum - duration).abs() < 0.01, "{line}");
        assert!(number(line, &format!("{activity}_s")) > 0.6 * duration, "{line}");
        assert!(!paths.iter().any(|path| line.contains(path)) && !line.contains("127.0.0.1"), "{line}");
    }
}

#[test]
fn a_flood_of_slow_requests_is_limited_and_mentioned() {
    let test = "a_flood_of_slow_requests_is_limited_and_mentioned";
    let Some(agent) = agent_with(test, "[requests]\nslow_after_ms = 300\n") else { return };
    let (loud, quiet) = (Server::start(&agent, None), Server::start(&agent, None));
    let locked =
        |server: &Server, count: usize| -> Vec<_> { (0..count).map(|_| server.request("/lock")).collect() };
    let requests = [locked(&loud, 60), locked(&quiet, 1)];
    thread::sleep(Duration::from_secs(1));
    quiet.request("/release").join().unwrap();
    loud.request("/release").join().unwrap();
    requests.into_iter().flatten().for_each(|request| request.join().unwrap());
    thread::sleep(Duration::from_secs(2));
    let log = agent.log();
    let lines =
        |server: &Server| log.lines().filter(|line| field(line, "container") == Some(server.name())).count();
    assert_eq!(lines(&quiet), 1, "{log}");
    // More than the log writes of other messages in a row.
    assert!((6..=20).contains(&lines(&loud)), "{log}");
    assert!(log.contains("slow requests were not logged"), "{log}");
    let lost = agent.metrics().lines().find_map(|line| {
        let value = line.strip_prefix("glassbox_imprecise_events_total{source=\"slow_requests\"} ")?;
        value.parse::<usize>().ok()
    });
    assert_eq!(lost, Some(60 - lines(&loud)), "{log}");
}
