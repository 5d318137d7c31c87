//! The text that is printed once everything runs: links, example queries and an example workload.

use std::net::SocketAddr;

use super::prometheus::scrape_config;

/// P99 run-queue latency by container.
const QUERY: &str = "histogram_quantile(0.99, sum by (container, le) \
                     (rate(glassbox_container_runqueue_latency_seconds_bucket[1m])))";

/// GPU utilization by container. The demo has one at 90 %, one at 30 %, and one at 0 that hangs.
const DEMO_QUERY: &str = "max by (container) (glassbox_container_gpu_utilization_ratio{demo=\"true\"})";
/// GPU state of each container.
const DEMO_STATES: &str = "glassbox_container_gpu_state{demo=\"true\",state!=\"no_gpu\"} == 1";

/// The text. Links have no line breaks, so that terminals make them clickable.
pub(super) fn text(agent: SocketAddr, prometheus: Option<SocketAddr>, demo: bool) -> String {
    let (query, label, more) = if demo {
        let states = format!("&g1.expr={}&g1.tab=1", percent_encoded(DEMO_STATES));
        (
            DEMO_QUERY,
            "GPU utilization (graph) and GPU state (table) by container; available after one minute:",
            states,
        )
    } else {
        (QUERY, "P99 run-queue latency by container; available after one minute:", String::new())
    };
    let range = if demo { "5m" } else { "15m" };
    let prometheus = match prometheus {
        Some(address) => format!(
            "  Prometheus     http://{address}/\n  \
               example        {label}\n                 \
               http://{address}/graph?g0.expr={}&g0.tab=0&g0.range_input={range}{more}\n  \
               alerts         http://{address}/alerts\n  \
               dashboards     import dashboards/en/*.json into Grafana and select this Prometheus as data source\n",
            percent_encoded(query)
        ),
        None => {
            format!(
                "  Configuration for your Prometheus:\n\n{}\n  Example query: {query}\n",
                scrape_config(agent, demo)
            )
        }
    };
    let example = if demo {
        "  The demo: demo-facefusion-1 uses 90 % of its GPU and demo-facefusion-2 uses 30 %, demo-greedy runs out of GPU\n  \
           memory every minute, demo-hung waits for a driver call that never ends (stuck_in_driver after 10 s). demo-api\n  \
           serves requests and streams, and a request to demo-deadlocked waits for a lock that is never released.\n  \
           demo-facefusion imitates FaceFusion: it processes jobs with ffmpeg, and one job in three fails.\n  \
           GPUS AND THEIR CONTAINERS ARE SIMULATED. All output of the agent is marked as a demo, and every series has the label\n  \
           demo=\"true\" and the job glassbox-demo."
    } else {
        "  Example workload, for another terminal:
                 docker run --rm --name busy --cpus 0.5 busybox sh -c 'while :; do :; done'"
    };
    format!(
        "
glassbox is running{mark}.

  Agent          http://{agent}/
  Metrics        http://{agent}/metrics
{prometheus}
{example}

Ctrl-C stops everything.
",
        mark = if demo { " in DEMO mode" } else { "" }
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
    fn links_contain_no_character_that_ends_a_link() {
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
    fn the_demos_link_shows_gpu_utilization_and_gpu_states() {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = text(local(9966), Some(local(9090)), true);
        let link = text.split_whitespace().find(|word| word.contains("g0.expr=")).unwrap();
        let (graph, table) = link.split_once("&g1.expr=").unwrap();
        assert!(graph.contains(&percent_encoded(DEMO_QUERY)) && graph.contains("&g0.tab=0"), "{link}");
        assert!(table.contains(&percent_encoded(DEMO_STATES)) && table.ends_with("&g1.tab=1"), "{link}");
        assert!(DEMO_QUERY.contains("gpu_utilization_ratio") && DEMO_STATES.contains("state!=\"no_gpu\""));
    }

    #[test]
    fn without_prometheus_the_text_has_a_scrape_configuration() {
        let text = text(SocketAddr::from(([127, 0, 0, 1], 9966)), None, false);
        assert!(text.contains("scrape_configs:") && text.contains("127.0.0.1:9966"), "{text}");
    }
}
