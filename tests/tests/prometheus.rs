//! End-to-end tests: a real Prometheus scrapes the agent, which watches real Docker containers, and runs users' queries.
//! Needs root, Docker and Prometheus. Each test takes about half a minute, because rates need several scrapes.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod prometheus {
    mod accounts;
    mod cadvisor;
    mod dashboards;
    mod dcgm;
    mod gpus;
    mod native;
    mod neighbour;
    mod nvidia_driver;
    mod page;
    mod promtool;
    mod queries;
    mod restart;
    mod stack;
    mod traffic;
}
