//! nginx in the host's network, and each load generator.

use std::{process::Command, time::Duration};

use glassbox_tests::{
    skip,
    web::{client::Client, load, needs},
};

use super::counted::{ALONE, Counted, assert_quantiles, assert_same, nginx};

/// A load generator with its arguments, without the URL.
const LOADS: [(&str, &str, &[&str]); 5] = [
    ("ab", "ab with keep-alive", &["-q", "-k", "-n", "10000", "-c", "16"]),
    ("ab", "ab without keep-alive", &["-q", "-n", "10000", "-c", "16"]),
    ("h2load", "h2load --h1", &["--h1", "-n", "10000", "-c", "16"]),
    ("wrk", "wrk", &["-t", "1", "-c", "16", "-d", "1s"]),
    ("wrk", "wrk without keep-alive", &["-t", "1", "-c", "16", "-d", "1s", "-H", "Connection: close"]),
];

#[test]
fn requests_codes_and_bytes_are_those_of_the_log_of_nginx() {
    let test = "requests_codes_and_bytes_are_those_of_the_log_of_nginx";
    let _alone = ALONE.lock();
    let started = ["h2load", "wrk"].into_iter().try_for_each(needs).and_then(|()| nginx("ab"));
    let (agent, nginx) = match started {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let port = nginx.address.port();
    let log = || nginx.log().requests;
    assert_same(&agent, &nginx.container.id, "start", log);
    for (program, what, arguments) in LOADS {
        for host in ["127.0.0.1", "[::1]"] {
            for path in ["1k", "missing"] {
                // Errors are as many as successes; wrk runs for a fixed time.
                let is_repeated = path == "missing" && (program == "wrk" || host == "[::1]");
                // h2load sends an IPv6 address without brackets. nginx refuses that and logs only a part of its length.
                if is_repeated || (program == "h2load" && host == "[::1]") {
                    continue;
                }
                let before = log().count();
                let mut command = Command::new(program);
                command.args(arguments).arg(format!("http://{host}:{port}/{path}"));
                load(command);
                let what = format!("{what}, {host}, {path}");
                let after = assert_same(&agent, &nginx.container.id, &what, log).count();
                println!("{what}: {} requests", after - before);
                assert!(after - before >= 1000, "{what}");
            }
        }
    }
    let counted = Counted::read(&agent, &nginx.container.id);
    for family in ["opaque_connections_total", "resynchronized_total", "requests_in_flight"] {
        assert_eq!(counted.sum(family), 0, "{family}");
    }
}

#[test]
fn ten_thousand_requests_per_second_are_those_of_the_log_of_nginx() {
    const RATE: u32 = 10_000;
    const TIME: Duration = Duration::from_secs(3);
    let test = "ten_thousand_requests_per_second_are_those_of_the_log_of_nginx";
    let _alone = ALONE.lock();
    let (agent, nginx) = match nginx("nginx") {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let before = nginx.log().requests.count();
    let sent = Client::connect(nginx.address, RATE).unwrap().send_for(TIME).unwrap();
    let all = assert_same(&agent, &nginx.container.id, test, || nginx.log().requests);
    println!("{sent} requests in {TIME:?}");
    assert_eq!(all.count() - before, sent);
    // A busy host may be late.
    assert!(sent >= u64::from(RATE) * TIME.as_secs() * 9 / 10, "{sent}");
}

#[test]
fn large_responses_have_the_bytes_of_the_log_of_nginx() {
    let test = "large_responses_have_the_bytes_of_the_log_of_nginx";
    let _alone = ALONE.lock();
    let (agent, nginx) = match nginx("ab") {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let mut command = Command::new("ab");
    command.args(["-q", "-k", "-n", "1000", "-c", "8"]).arg(format!("http://{}/1m", nginx.address));
    load(command);
    let all = assert_same(&agent, &nginx.container.id, "1 MiB", || nginx.log().requests);
    assert!(all.response_bytes > 1000 << 20);
}

#[test]
fn the_99th_percentile_is_within_one_bucket_of_the_log_of_nginx() {
    let test = "the_99th_percentile_is_within_one_bucket_of_the_log_of_nginx";
    let _alone = ALONE.lock();
    let (agent, nginx) = match nginx("ab") {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let mut command = Command::new("ab");
    command.args(["-q", "-k", "-n", "900", "-c", "40"]).arg(format!("http://{}/slow", nginx.address));
    load(command);
    assert_same(&agent, &nginx.container.id, "slow", || nginx.log().requests);
    let of_server_s = |part| nginx.log().quantile_ms(part) as f64 / 1e3;
    assert!(of_server_s(0.5) > 0.05, "requests wait");
    assert_quantiles(&agent, &nginx.container.id, of_server_s);
}
