//! The queries that the page of a container offers, on a real Prometheus.

use std::net::SocketAddr;

use glassbox_tests::{http, prometheus::Prometheus};

/// Each query of the page returns data, for a container with a CPU quota, a memory limit and a GPU.
pub(super) fn every_query_of_a_container_returns_data(
    prometheus: &Prometheus,
    agent: SocketAddr,
    container: &str,
) {
    let page = http::get(agent, &format!("/c/{container}")).unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    let escaped =
        page.body.split("<code class=query>").skip(1).map(|rest| rest.split("</code>").next().unwrap());
    let queries: Vec<_> = escaped.map(|text| text.replace("&quot;", "\"").replace("&amp;", "&")).collect();
    for family in
        ["spec_cpu_quota", "cfs_throttled", "spec_memory_limit", "gpu_memory_used", "gpu_utilization"]
    {
        assert!(queries.iter().any(|query| query.contains(family)), "{family}: {queries:#?}");
    }
    for query in &queries {
        // A scrape per second, so that less time than the minute of the page suffices.
        let samples = prometheus.query(&query.replace("[1m]", "[10s]"));
        println!("{query}: {samples:?}");
        assert!(
            samples.is_ok_and(|samples| samples.iter().any(|sample| sample.value.is_finite())),
            "{query}"
        );
    }
}
