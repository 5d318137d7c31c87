//! What a newcomer reads once everything runs: where to look, what to ask, what to start.

use std::net::SocketAddr;

/// 99 of 100 waits for a CPU were shorter than this, by container.
const QUERY: &str = "histogram_quantile(0.99, sum by (container, le) \
                     (rate(glassbox_container_runqueue_latency_seconds_bucket[1m])))";

/// What each container is doing with its GPUs.
const DEMO_QUERY: &str = "glassbox_container_gpu_state == 1";

/// The welcome, with links for a terminal to make clickable.
pub(super) fn text(agent: SocketAddr, prometheus: Option<SocketAddr>, demo: bool) -> String {
    let (query, meaning) = if demo {
        (DEMO_QUERY, "what each container is doing with its GPU:")
    } else {
        (QUERY, "how long containers wait for a CPU (p99; give it a minute):")
    };
    let ask = match prometheus {
        Some(address) => format!(
            "  Prometheus     http://{address}/\n  \
               try            {meaning}\n                 \
               http://{address}/graph?g0.expr={}&g0.tab=0&g0.range_input=15m\n",
            percent_encoded(query)
        ),
        None => format!("  For your own Prometheus:\n\n{}\n  and then ask: {query}\n", scrape_config(agent)),
    };
    let see = if demo {
        "  What there is to see: demo-facefusion-1 works at 90 % and its twin at 30 %, demo-greedy runs out of GPU\n  \
           memory every minute, demo-hung waits for a driver that never answers (stuck_in_driver after 10 s).\n  \
           NONE OF IT IS REAL: the GPUs are made up, and everything that the agent puts out says so."
    } else {
        "  Something to see, in another terminal:
                 docker run --rm --name busy --cpus 0.5 busybox sh -c 'while :; do :; done'"
    };
    format!(
        "
glassbox runs{mark}.

  The agent      http://{agent}/
  its metrics    http://{agent}/metrics
{ask}
{see}

Ctrl-C stops everything.
",
        mark = if demo { ", on a DEMONSTRATION" } else { "" }
    )
}

/// A Prometheus configuration that scrapes the agent.
pub(super) fn scrape_config(agent: SocketAddr) -> String {
    format!(
        "scrape_configs:\n  - job_name: glassbox\n    scrape_interval: 5s\n    static_configs:\n      \
         - targets: [\"{agent}\"]\n"
    )
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_no_character_that_ends_a_link() {
        assert_eq!(percent_encoded("rate(x[1m]) + 0.5"), "rate%28x%5B1m%5D%29%20%2B%200.5");
        let text = text(
            SocketAddr::from(([127, 0, 0, 1], 9966)),
            Some(SocketAddr::from(([127, 0, 0, 1], 9090))),
            false,
        );
        let link = text.split_whitespace().find(|word| word.contains("g0.expr=")).unwrap();
        assert!(link.ends_with("&g0.range_input=15m"), "{link}");
    }

    #[test]
    fn without_prometheus_the_reader_gets_what_to_configure() {
        let text = text(SocketAddr::from(([127, 0, 0, 1], 9966)), None, false);
        assert!(text.contains("scrape_configs:") && text.contains("127.0.0.1:9966"), "{text}");
    }
}
