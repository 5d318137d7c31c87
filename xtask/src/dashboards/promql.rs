//! Queries with what all of them have in common said once.
//!
//! In the queries here `CONTAINERS` stands for the selection of containers, `AGENTS` for that of agents, `GPUS` for
//! that of GPUs and `HOLDERS` for that of what containers do on GPUs; `EACH` for one series per container and `DEVICE`
//! for one per GPU. `ALIVE` leaves out containers that have ended: their final counters stay for some minutes, and
//! while a rate of them is 0, as it should be, memory would seem to be still in use.

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

/// The legend of a container's series. The second half is empty outside Kubernetes.
pub(super) const CONTAINER: &str = "{{container}} {{pod}}";
/// The legend of a GPU's series.
pub(super) const GPU: &str = "{{instance}} GPU {{gpu}}";

/// A query with its placeholders filled in.
pub(super) fn promql(query: &str) -> String {
    PLACEHOLDERS.iter().fold(query.to_owned(), |query, (name, text)| query.replace(name, text))
}

/// How much a counter grew within `range`, which is `$__rate_interval` or, for all the time shown, `$__range`.
///
/// Unlike `increase` it counts the value that a series began with: one that is there only since something went wrong
/// began with 1, and so did that of a container which failed before it was first scraped. It is not for counters that
/// began before the agent did, as the GPU's own.
pub(super) fn growth(selector: &str, range: &str) -> String {
    promql(&format!("({selector} unless {selector} offset {range} or increase({selector}[{range}]))"))
}
