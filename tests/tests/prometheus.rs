//! A real Prometheus scrapes the real agent, which watches real Docker containers, and is asked what users
//! ask. Needs root, Docker and Prometheus; takes about half a minute per test, as a rate needs its time.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; these helpers are tests, too"
)]

mod prometheus {
    mod accounts;
    mod cadvisor;
    mod dashboards;
    mod dcgm;
    mod gpus;
    mod neighbour;
    mod nvidia_driver;
    mod promtool;
    mod queries;
    mod stack;
}
