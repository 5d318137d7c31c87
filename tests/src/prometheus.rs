//! A Prometheus that scrapes every second, and its query API.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    http,
    repository::installed,
    service::{Service, free_address},
};

/// Names a directory with `prometheus` and `promtool`, or with a package's `usr/bin` that has them. The default is PATH.
/// `cargo xtask test` sets it.
pub const VARIABLE: &str = "GLASSBOX_PROMETHEUS_DIR";

/// The programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The server.
    pub prometheus: PathBuf,
    /// The tool.
    pub promtool: PathBuf,
    /// More arguments of the server.
    pub arguments: Vec<String>,
}

impl Programs {
    /// Finds the programs.
    ///
    /// # Errors
    /// If one of them is missing. The error contains the remedy.
    pub fn find() -> Result<Self, String> {
        let directories: Vec<PathBuf> = match env::var_os(VARIABLE) {
            Some(named) => ["", "usr/bin", "bin"].map(|below| PathBuf::from(&named).join(below)).to_vec(),
            None => env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect(),
        };
        let programs = directories.iter().map(|directory| Self {
            prometheus: directory.join("prometheus"),
            promtool: directory.join("promtool"),
            arguments: Vec::new(),
        });
        let mut whole =
            programs.filter(|programs| programs.prometheus.is_file() && programs.promtool.is_file());
        whole.next().ok_or_else(|| {
            format!("no prometheus and promtool in {VARIABLE} or PATH (cargo xtask test downloads them)")
        })
    }

    /// Like [`find`](Self::find), with a server that can store classic histograms as native ones: Prometheus 3, with this line in
    /// the configuration of a job: `convert_classic_histograms_to_nhcb: true`. The tool is the same as that of `find`.
    ///
    /// # Errors
    /// The reason to skip the test.
    pub fn find_with_native_histograms() -> Result<Self, String> {
        let prometheus = installed("prometheus-3", "Prometheus 3", "apt")?.join("usr/bin/prometheus");
        Ok(Self { prometheus, arguments: vec!["--enable-feature=native-histograms".into()], ..Self::find()? })
    }

    /// Runs promtool with a subcommand for files, and returns its report.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn report(&self, subcommand: &[&str], files: &[PathBuf]) -> String {
        let ended = Command::new(&self.promtool).args(subcommand).args(files).output();
        let ended = ended.unwrap_or_else(|error| panic!("run promtool: {error}"));
        let report = String::from_utf8_lossy(&ended.stderr) + String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "promtool {subcommand:?}: {report}");
        report.into_owned()
    }
}

/// A series in the result of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value; may be NaN. Of a native histogram, its number of observations.
    pub value: f64,
}

/// A running Prometheus.
pub struct Prometheus {
    address: SocketAddr,
    _service: Service,
}

impl Prometheus {
    /// Starts a server that scrapes `target` every second as job `glassbox`.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn start(programs: &Programs, target: SocketAddr) -> Self {
        Self::start_with(programs, target, "", "")
    }

    /// Like [`start`](Self::start), with further lines of the configuration and of the job, in YAML. Each line ends with a line
    /// feed.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(programs: &Programs, target: SocketAddr, configuration: &str, job: &str) -> Self {
        let address = free_address();
        let service = Service::start("Prometheus", address, "/-/ready", |directory| {
            let file = directory.join("prometheus.yml");
            let configuration = format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n{configuration}\
                 scrape_configs:\n\
                 - job_name: glassbox\n  \
                   static_configs: [{{targets: ['{target}']}}]\n{job}"
            );
            fs::write(&file, configuration)
                .unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
            let mut command = Command::new(&programs.prometheus);
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
            command.arg(format!("--web.listen-address={address}"));
            command.args(&programs.arguments);
            command
        });
        Self { address, _service: service }
    }

    /// Runs a query.
    ///
    /// # Errors
    /// The error of Prometheus.
    pub fn query(&self, promql: &str) -> anyhow::Result<Vec<Sample>> {
        let data =
            self.ask(&format!("/api/v1/query?query={}", http::escaped(promql))).context(promql.to_owned())?;
        let series = data["result"].as_array().with_context(|| format!("{promql}: not a vector: {data}"))?;
        series.iter().map(|series| sample(series).with_context(|| format!("read {series}"))).collect()
    }

    /// The values of a label among the series of a selector.
    ///
    /// # Errors
    /// The error of Prometheus.
    pub fn label_values(&self, selector: &str, label: &str) -> anyhow::Result<Vec<String>> {
        let path =
            format!("/api/v1/label/{}/values?match[]={}", http::escaped(label), http::escaped(selector));
        let data = self.ask(&path).context(selector.to_owned())?;
        let values = data.as_array().with_context(|| format!("not a list: {data}"))?;
        Ok(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    }

    /// Its rules, as its API returns them.
    ///
    /// # Errors
    /// The error of Prometheus.
    pub fn rules(&self) -> anyhow::Result<Value> {
        self.ask("/api/v1/rules")
    }

    /// Repeats a query until its result satisfies `wanted`, and returns the result.
    ///
    /// # Panics
    /// After `patience`; the panic shows the last result.
    pub fn wait_for(
        &self,
        promql: &str,
        patience: Duration,
        wanted: impl Fn(&[Sample]) -> bool,
    ) -> Vec<Sample> {
        let deadline = Instant::now() + patience;
        loop {
            let answer = self.query(promql);
            match answer {
                Ok(samples) if wanted(&samples) => return samples,
                last => assert!(Instant::now() < deadline, "after {patience:?}, {promql} gives {last:?}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let answer = http::get(self.address, path)?;
        let mut body: Value = serde_json::from_str(&answer.body).context("parse the answer")?;
        anyhow::ensure!(answer.status == 200, "status {}: {}", answer.status, body["error"]);
        Ok(body["data"].take())
    }
}

fn sample(series: &Value) -> Option<Sample> {
    let labels = series["metric"].as_object()?.iter();
    let labels = labels.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let value = series["value"][1].as_str().or_else(|| series["histogram"][1]["count"].as_str())?;
    // Prometheus writes +Inf, -Inf and NaN as Rust parses them.
    Some(Sample { labels: labels.collect::<Option<_>>()?, value: value.parse().ok()? })
}
