//! Placeholders for the common parts of queries.
//!
//! | placeholder | meaning |
//! |---|---|
//! | `CONTAINERS`, `AGENTS`, `GPUS` | matchers for the selected containers, agents or GPUs |
//! | `HOLDERS` | matchers for the selected containers on the selected GPUs |
//! | `EACH`, `DEVICE` | one series per container or per GPU |
//! | `ALIVE` | only running containers: the series of an exited container stay for some minutes, so its memory would seem to be still in use |

const PLACEHOLDERS: [(&str, &str); 7] = [
    ("CONTAINERS", r#"job=~"$job", instance=~"$instance", container=~"$container""#),
    ("HOLDERS", r#"job=~"$job", instance=~"$instance", container=~"$container", gpu=~"$gpu""#),
    ("GPUS", r#"job=~"$job", instance=~"$instance", gpu=~"$gpu""#),
    ("AGENTS", r#"job=~"$job", instance=~"$instance""#),
    (
        "ALIVE",
        "and on (instance, namespace, pod, container) \
         (glassbox_container_running{job=~\"$job\", instance=~\"$instance\", container=~\"$container\"} == 1)",
    ),
    ("EACH", "by (instance, namespace, pod, container)"),
    ("DEVICE", "by (instance, gpu)"),
];

/// The legend of a container's series. The pod is empty outside Kubernetes.
pub(super) const CONTAINER: &str = "{{container}} {{pod}}";
/// The legend of a GPU's series.
pub(super) const GPU: &str = "{{instance}} GPU {{gpu}}";

/// Expands the placeholders of a query.
pub(super) fn promql(query: &str) -> String {
    PLACEHOLDERS.iter().fold(query.to_owned(), |query, (name, text)| query.replace(name, text))
}

/// The increase of a counter within `range`, which is `$__rate_interval` or `$__range`.
///
/// Unlike `increase`, it includes the first value of a new series. Series of failures start with 1 at the first failure,
/// and a container may fail before its first scrape. Not for counters that are older than the agent, such as a GPU's own
/// counters.
pub(super) fn growth(selector: &str, range: &str) -> String {
    promql(&format!("({selector} unless {selector} offset {range} or increase({selector}[{range}]))"))
}
