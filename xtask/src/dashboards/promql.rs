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
/// The labels of a container's series.
pub(super) const LABELS: &str = "instance, namespace, pod, container";
/// The legend of a GPU's series.
pub(super) const GPU: &str = "{{instance}} GPU {{gpu}}";

/// Expands the placeholders of a query.
pub(super) fn promql(query: &str) -> String {
    PLACEHOLDERS.iter().fold(query.to_owned(), |query, (name, text)| query.replace(name, text))
}

/// The rate of a counter of each container.
pub(super) fn rate(counter: &str) -> String {
    promql(&format!("sum EACH (rate({counter}{{CONTAINERS}}[$__rate_interval]))"))
}

/// The increase of a counter within `range`, which is `$__rate_interval` or `$__range`.
///
/// Unlike `increase`, it includes the first value of a new series. Series of failures start with 1 at the first failure,
/// and a container may fail before its first scrape. Not for counters that are older than the agent, such as a GPU's own
/// counters.
pub(super) fn growth(selector: &str, range: &str) -> String {
    promql(&format!("({selector} unless {selector} offset {range} or increase({selector}[{range}]))"))
}

/// A quantile of a histogram, by the labels `by`. No series without observations, for which Prometheus returns NaN: the legend
/// and the axis of a panel with such a series cannot be read.
///
/// The expressions of histograms work with classic buckets and with native histograms: Prometheus stores only the latter if a
/// scrape configuration enables them, and then the series `_bucket`, `_sum` and `_count` do not exist.
pub(super) fn quantile(quantile: &str, selector: &Histogram<'_>, by: &str) -> String {
    let (classic, native) = (selector.part("_bucket"), selector.part(""));
    let le = if by.is_empty() { "le" } else { "le, " };
    promql(&format!(
        "((histogram_quantile({quantile}, sum by ({le}{by}) (rate({classic}[$__rate_interval]))) \
         or histogram_quantile({quantile}, sum by ({by}) (rate({native}[$__rate_interval])))) >= 0)"
    ))
}

/// The rates of a histogram's buckets, for a heatmap.
pub(super) fn buckets(selector: &Histogram<'_>) -> String {
    let (classic, native) = (selector.part("_bucket"), selector.part(""));
    promql(&format!(
        "sum by (le) (rate({classic}[$__rate_interval])) or sum(rate({native}[$__rate_interval]))"
    ))
}

/// The rate of a histogram's number of values.
pub(super) fn count_rate(selector: &Histogram<'_>) -> String {
    rate_of(selector, "count")
}

/// The rate of a histogram's sum of values.
pub(super) fn sum_rate(selector: &Histogram<'_>) -> String {
    rate_of(selector, "sum")
}

fn rate_of(selector: &Histogram<'_>, part: &str) -> String {
    let (classic, native) = (selector.part(&format!("_{part}")), selector.part(""));
    promql(&format!(
        "(rate({classic}[$__rate_interval]) or histogram_{part}(rate({native}[$__rate_interval])))"
    ))
}

/// A histogram's family, and its matchers.
pub(super) struct Histogram<'a>(pub(super) &'a str, pub(super) &'a str);

impl Histogram<'_> {
    fn part(&self, suffix: &str) -> String {
        let Self(family, matchers) = self;
        format!("{family}{suffix}{{{matchers}}}")
    }
}
