//! Runs every query of a histogram on classic buckets and on native histograms, and compares the results.
//!
//! One Prometheus 3 scrapes the same agent with two jobs. One of them converts histograms to native ones and stores no series
//! `_bucket`, `_sum` and `_count`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use glassbox_tests::{
    dashboards::Dashboard,
    prometheus::{Programs, Prometheus, Sample},
    repository::in_repository,
    rules,
};

use super::dashboards::filled_in;

/// The job, and the label `instance`, of native histograms.
const NATIVE: &str = "native";
/// The agent's buckets are at most this wide: upper / lower boundary. Within a bucket, a quantile is an estimate.
const BUCKET: f64 = 2.0;
/// The jobs scrape at different times, so one of the ten scrapes in the window of a rate may be another one; and one interval more
/// for a late scrape.
const RATE: f64 = 1.25;
/// Time in which the results have to agree once: each comparison can be disturbed by a burst between two scrapes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Prometheus with both kinds of histograms.
pub(super) struct Native {
    prometheus: Prometheus,
    instance: String,
}

impl Native {
    /// Starts it.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub(super) fn start(agent: SocketAddr) -> Result<Self, String> {
        let programs = Programs::find_with_native_histograms()?;
        let files = rules::FILES.map(|file| in_repository("dashboards").join(file));
        let job = format!(
            "- job_name: {NATIVE}\n  \
               convert_classic_histograms_to_nhcb: true\n  \
               static_configs: [{{targets: ['{agent}'], labels: {{instance: {NATIVE}}}}}]\n"
        );
        let prometheus = Prometheus::start_with(&programs, agent, &format!("rule_files: {files:?}\n"), &job);
        Ok(Self { prometheus, instance: agent.to_string() })
    }

    /// Compares all queries of panels and rules. `missing` has parts of the names of families that this host cannot have.
    pub(super) fn agrees_with_classic_histograms(&self, missing: &[&str]) {
        let classic = self.prometheus.query("{__name__=~\"glassbox_.+_bucket\", job=\"native\"}").unwrap();
        assert!(classic.is_empty(), "classic histograms in the job with native ones: {classic:?}");
        let mut pending = self.pairs(missing);
        assert!(pending.len() > 10, "{}", pending.len());
        let begun = Instant::now();
        loop {
            let mut reasons = Vec::new();
            pending.retain(|pair| match self.compared(pair) {
                Ok(series) => {
                    println!("{}: {series} series alike", pair.place);
                    false
                }
                Err(reason) => {
                    reasons.push(format!("{}: {reason}\n  {}\n  {}", pair.place, pair.classic, pair.native));
                    true
                }
            });
            if pending.is_empty() {
                println!("compared in {:?}", begun.elapsed());
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of them differ:\n{}", reasons.len(), reasons.join("\n"));
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn pairs(&self, missing: &[&str]) -> Vec<Pair> {
        let mut pairs = Vec::new();
        // The other languages have the same queries.
        let queries: Vec<_> =
            Dashboard::in_language("en").iter().flat_map(|one| one.queries().collect::<Vec<_>>()).collect();
        for query in queries.into_iter().filter(|query| is_of_histogram(&query.promql)) {
            if !missing.iter().any(|family| query.promql.contains(family)) {
                let of = |job: &str| filled_in(&query.promql, &[job.to_owned()]);
                pairs.push(Pair::new(query.place, &query.promql, of("glassbox"), of(NATIVE)));
            }
        }
        let rules = rules::of(&self.prometheus.rules().unwrap()).unwrap();
        for rule in rules.into_iter().filter(|rule| is_of_histogram(&rule.query)) {
            assert!(!rule.is_alert, "{}: compare the query of the alert, too", rule.name);
            let of = |instance: &str| format!("{}{{instance=\"{instance}\"}} > 0", rule.name);
            pairs.push(Pair::new(rule.name.clone(), &rule.query, of(&self.instance), of(NATIVE)));
        }
        pairs
    }

    /// The number of series that agree, or what differs.
    fn compared(&self, pair: &Pair) -> Result<usize, String> {
        let ask = |query: &str| values(self.prometheus.query(query).unwrap());
        let (classic, native) = (ask(&pair.classic), ask(&pair.native));
        if classic.is_empty() || !classic.keys().eq(native.keys()) {
            return Err(format!("other series: {classic:?} and {native:?}"));
        }
        let differs = |(labels, value): (&BTreeMap<_, _>, &f64)| {
            let other = native[labels];
            let (least, most) = (value.min(other), value.max(other));
            (most > least * pair.tolerance).then(|| format!("{labels:?}: {value} and {other}"))
        };
        classic.iter().find_map(differs).map_or(Ok(classic.len()), Err)
    }
}

/// A query in both forms.
struct Pair {
    place: String,
    classic: String,
    native: String,
    /// The greatest quotient of two results.
    tolerance: f64,
}

impl Pair {
    fn new(place: String, source: &str, classic: String, native: String) -> Self {
        let tolerance = if source.contains("histogram_quantile") { BUCKET } else { RATE };
        Self { place, classic, native, tolerance }
    }
}

/// Native histograms are read with functions, or as a whole.
fn is_of_histogram(promql: &str) -> bool {
    promql.contains("histogram_") || promql.contains("_bucket")
}

/// The values by the labels that are the same in both jobs. Of classic buckets, the last one, which is the number of observations.
fn values(samples: Vec<Sample>) -> BTreeMap<BTreeMap<String, String>, f64> {
    let is_total = |sample: &Sample| sample.labels.get("le").is_none_or(|le| le == "+Inf");
    let named = |mut sample: Sample| {
        for label in ["job", "instance", "le", "__name__"] {
            sample.labels.remove(label);
        }
        (sample.labels, sample.value)
    };
    samples.into_iter().filter(is_total).filter(|sample| sample.value.is_finite()).map(named).collect()
}
