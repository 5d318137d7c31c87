//! What a newcomer reads once everything runs: where to look, what to ask, what to start.

use std::net::SocketAddr;

use super::prometheus::scrape_config;

/// 99 of 100 waits for a CPU were shorter than this, by container.
const QUERY: &str = "histogram_quantile(0.99, sum by (container, le) \
                     (rate(glassbox_container_runqueue_latency_seconds_bucket[1m])))";

/// The share of GPU time that each container takes: 90 % against 30 % of two that should be alike, and 0 of one that
/// hangs.
const DEMO_QUERY: &str = "max by (container) (glassbox_container_gpu_utilization_ratio{demo=\"true\"})";
/// What each container does with its GPU, in one word.
const DEMO_STATES: &str = "glassbox_container_gpu_state{demo=\"true\",state!=\"no_gpu\"} == 1";

/// The welcome, with links for a terminal to make clickable.
pub(super) fn text(agent: SocketAddr, prometheus: Option<SocketAddr>, demo: bool) -> String {
    let (query, label, more) = if demo {
        let states = format!("&g1.expr={}&g1.tab=1", percent_encoded(DEMO_STATES));
        (
            DEMO_QUERY,
            "GPU time by container as a graph, and what each does in a table (give it a minute):",
            states,
        )
    } else {
        (QUERY, "how long containers wait for a CPU (p99; give it a minute):", String::new())
    };
    let range = if demo { "5m" } else { "15m" };
    let prometheus = match prometheus {
        Some(address) => format!(
            "  Prometheus     http://{address}/\n  \
               try            {label}\n                 \
               http://{address}/graph?g0.expr={}&g0.tab=0&g0.range_input={range}{more}\n  \
               alerts         http://{address}/alerts\n  \
               dashboards     import dashboards/*.json into Grafana, with this Prometheus as data source\n",
            percent_encoded(query)
        ),
        None => {
            format!("  For your own Prometheus:\n\n{}\n  and then ask: {query}\n", scrape_config(agent, demo))
        }
    };
    let example = if demo {
        "  What there is to see: demo-facefusion-1 uses 90 % of its GPU and its twin 30 %, demo-greedy runs out of GPU\n  \
           memory every minute, demo-hung waits for a driver that never answers (stuck_in_driver after 10 s).\n  \
           NONE OF IT IS REAL: the GPUs are made up. All output of the agent says so, and every series has the label\n  \
           demo=\"true\" and the job glassbox-demo."
    } else {
        "  Something to see, in another terminal:
                 docker run --rm --name busy --cpus 0.5 busybox sh -c 'while :; do :; done'"
    };
    format!(
        "
glassbox runs{mark}.

  The agent      http://{agent}/
  its metrics    http://{agent}/metrics
{prometheus}
{example}

Ctrl-C stops everything.
",
        mark = if demo { ", on a DEMONSTRATION" } else { "" }
    )
}

fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
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
    fn the_demonstrations_link_shows_gpu_time_by_container_and_then_the_states() {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = text(local(9966), Some(local(9090)), true);
        let link = text.split_whitespace().find(|word| word.contains("g0.expr=")).unwrap();
        let (graph, table) = link.split_once("&g1.expr=").unwrap();
        assert!(graph.contains(&percent_encoded(DEMO_QUERY)) && graph.contains("&g0.tab=0"), "{link}");
        assert!(table.contains(&percent_encoded(DEMO_STATES)) && table.ends_with("&g1.tab=1"), "{link}");
        assert!(DEMO_QUERY.contains("gpu_utilization_ratio") && DEMO_STATES.contains("state!=\"no_gpu\""));
    }

    #[test]
    fn without_prometheus_the_reader_gets_what_to_configure() {
        let text = text(SocketAddr::from(([127, 0, 0, 1], 9966)), None, false);
        assert!(text.contains("scrape_configs:") && text.contains("127.0.0.1:9966"), "{text}");
    }
}
