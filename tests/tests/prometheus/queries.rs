//! The three queries of a popular article, unchanged. With cAdvisor they return nothing.

use std::{
    io::Write as _,
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use glassbox_tests::{
    docker::{Container, eventually},
    prometheus::{Prometheus, Sample},
    sandbox::Sandbox,
};

use super::{accounts::Account, stack::Stack};

const CPU: &str = r#"100 - avg by(container) (rate(container_cpu_usage_seconds_total{container=~"facefusion.*"}[1m])) * 100"#;
const MEMORY: &str = r#"container_memory_usage_bytes{container=~"facefusion.*"} / 1024 / 1024"#;
const NETWORK: &str = r#"rate(container_network_receive_bytes_total{container=~"facefusion.*"}[1m]) / 1024"#;

const NAME: &str = "facefusion-1";
const CORES: f64 = 0.5;
const MIB: f64 = 1024.0 * 1024.0;
/// Kept in a tmpfs, which is charged to the container.
const HELD: f64 = 24.0 * MIB;
const SENT_BYTES: usize = 32 * 1024 * 1024;
/// Prometheus extrapolates the growth of a counter before its first sample and after its last: up to 1.6 of 20 seconds here.
const EXTRAPOLATED: f64 = 1.09;
/// Duration of the measurement.
const MEASURED: Duration = Duration::from_secs(20);

/// The only sample of a query.
fn value(prometheus: &Prometheus, promql: &str) -> f64 {
    let samples = prometheus.query(promql).unwrap();
    let ours: Vec<_> = samples.iter().filter(|sample| is_ours(sample)).collect();
    assert_eq!(ours.len(), 1, "{promql} gives {samples:?}");
    ours[0].value
}

fn is_ours(sample: &Sample) -> bool {
    sample.labels.get("container").is_some_and(|name| name == NAME)
}

fn assert_between(what: &str, least: f64, value: f64, most: f64) {
    println!("{what}: {value:.3}, within {least:.3} to {most:.3}");
    assert!((least..=most).contains(&value), "{what} is {value}, not within {least} to {most}");
}

/// Sends the bytes to a server in the container.
fn send(sandbox: &Sandbox, address: &str) {
    let connect = || sandbox.within(|| TcpStream::connect((address, 5000)).ok());
    let mut stream = eventually("the container listens", Duration::from_secs(10), connect);
    let chunk = [7; 64 * 1024];
    (0..SENT_BYTES / chunk.len()).for_each(|_| stream.write_all(&chunk).unwrap());
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn the_articles_queries_return_the_kernels_values() {
    let test = "the_articles_queries_return_the_kernels_values";
    let Some(stack) = Stack::start(test, "") else { return };
    let prometheus = &stack.prometheus;

    let limits = ["--cpus", "0.5", "--memory", "64m", "--tmpfs", "/held"];
    let work = "dd if=/dev/zero of=/held/file bs=1024 count=24576; nc -l -p 5000 > /dev/null & \
                while true; do true; done";
    let container = Container::run(&stack.docker, NAME, &limits, &["sh", "-c", work]);
    let started = Instant::now();
    let named = format!("container=\"{NAME}\"");
    eventually("the series of a container that docker run has just started", Duration::from_secs(2), || {
        let metrics = stack.agent.metrics();
        let families = [
            "container_cpu_usage_seconds_total",
            "container_memory_usage_bytes",
            "glassbox_container_running",
        ];
        let is_there = |family| metrics.lines().any(|line| line.starts_with(family) && line.contains(&named));
        families.into_iter().all(is_there).then_some(())
    });
    println!("the agent showed the container {:.2?} after docker run", started.elapsed());

    let account = Account::of(container.pid());
    let received = format!("container_network_receive_bytes_total{{container=\"{NAME}\"}}");
    prometheus.wait_for(&received, Duration::from_secs(10), |samples| samples.len() == 1);
    // The first two samples show the bytes from before the transfer.
    std::thread::sleep(Duration::from_secs(2));
    let received_before = value(prometheus, &received);
    send(stack.docker.daemon().sandbox(), &container.inspect("{{.NetworkSettings.IPAddress}}"));
    let window = (Instant::now(), account.cpu_seconds());
    std::thread::sleep(MEASURED);

    // The counter is the kernel's, up to two seconds late: one for the tick and one for the scrape.
    let counter = format!("container_cpu_usage_seconds_total{{container=\"{NAME}\"}}");
    let account_now = account.cpu_seconds();
    let late = 2.5 * CORES;
    assert_between("CPU seconds", account_now - late, value(prometheus, &counter), account_now);
    let used = (account_now - window.1) / window.0.elapsed().as_secs_f64();
    let rate = value(prometheus, &format!("rate({counter}[15s])"));
    assert_between("cores", used - 0.05, rate, used + 0.05);
    // The article's query shows the unused part of one core. If a counter is younger than a minute, its one-minute rate is
    // the growth since the first sample divided by a minute.
    let first = value(prometheus, &format!("min_over_time({counter}[1m])"));
    let idle = |grown: f64| 100.0 - grown / 60.0 * 100.0;
    let (least, most) = (account_now - late - first, (account_now - first) * EXTRAPOLATED);
    assert_between("the article's CPU", idle(most), value(prometheus, CPU), idle(least));

    let memory = account.memory_bytes() / MIB;
    assert!(memory >= HELD / MIB, "the container holds only {memory} MiB");
    assert_between("the article's memory", memory - 1.0, value(prometheus, MEMORY), memory + 1.0);

    let sent = SENT_BYTES as f64;
    let counted = value(prometheus, &received) - received_before;
    assert_between("bytes received", sent, counted, sent * 1.1);
    // Divided by a minute as above, in units of 1024 bytes.
    let (least, most) = (counted / 60.0 / 1024.0, counted * EXTRAPOLATED / 60.0 / 1024.0);
    assert_between("the article's network", least, value(prometheus, NETWORK), most);
}
