//! CPU usage, memory, scrape duration and start time of the agent, with 50 containers and with 1,000 cgroups.

use anyhow::Context as _;
use serde_json::Value;

use super::run::Run;
use super::table::{Row, Verdict, megabytes, percent, time};
use crate::samples::Samples;

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let fifty = compared(run, "50 real containers", 50, &["--real"])?;
    let with_facefusion = measure(run, "50 containers with FaceFusion", 50, &["--facefusion", "--starts=0"])?;
    let thousand = compared(run, "1,000 cgroups", 1000, &[])?;
    let mut rows = vec![
        Figure::new("agent CPU, 50 containers, 1 s tick", "≤ 0.5 %", 0.005, percent)
            .row(&fifty, |exporter| exporter["cpu_idle_ratio"].as_f64().unwrap_or(f64::NAN)),
        facefusion(&fifty, "without FaceFusion", 0.0005)?,
        facefusion(&with_facefusion, "with an idle FaceFusion", 0.005)?,
        Figure::new("agent CPU, 50 containers, 1 s tick and 1 s scrape interval", "", f64::NAN, percent)
            .row(&fifty, |exporter| exporter["cpu_scraped_ratio"].as_f64().unwrap_or(f64::NAN)),
        Figure::new("agent RSS, 50 containers", "≤ 20 MB", 20e6, megabytes).row(&fifty, rss),
        maps(&fifty)?,
    ];
    rows.extend(scrapes(&fifty, "50 containers", 0.003)?);
    rows.extend(scrapes(&thousand, "1,000 cgroups", 0.040)?);
    for (report, host) in [(&fifty, "50 containers"), (&thousand, "1,000 cgroups")] {
        rows.push(page(&report["glassbox"], host)?);
    }
    rows.push(
        Figure::new("agent CPU, 1,000 cgroups, 1 s tick", "", f64::NAN, percent)
            .row(&thousand, |exporter| exporter["cpu_idle_ratio"].as_f64().unwrap_or(f64::NAN)),
    );
    rows.push(Figure::new("agent RSS, 1,000 cgroups", "", f64::NAN, megabytes).row(&thousand, rss));
    for (report, what, budget) in [(&fifty, "50 containers", "≤ 300 ms"), (&thousand, "1,000 cgroups", "")]
    {
        let limit = if budget.is_empty() { f64::NAN } else { 0.3 };
        let what = format!("start to first complete scrape, {what}");
        rows.push(
            Figure::new(&what, budget, limit, time).row(report, |it| Samples::of(&it["start_s"]).median()),
        );
    }
    Ok(rows)
}

/// Measures the agent and its peers, including their starts.
fn compared(run: &Run, what: &str, count: usize, flags: &[&str]) -> anyhow::Result<Value> {
    let mut own = run.peers.flags();
    own.push(format!("--starts={}", run.choose(10, 4)));
    let flags: Vec<_> = flags.iter().copied().chain(own.iter().map(String::as_str)).collect();
    measure(run, what, count, &flags)
}

fn measure(run: &Run, what: &str, count: usize, flags: &[&str]) -> anyhow::Result<Value> {
    let mut arguments: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    arguments.push(format!("--containers={count}"));
    arguments.push(format!("--seconds={}", run.choose(30, 8)));
    arguments.push(run.agent());
    let report = run.measure(what, "agent-cost", &arguments)?;
    report.get("exporters").cloned().context("find the exporters")
}

fn rss(exporter: &Value) -> f64 {
    exporter["rss_bytes"].as_f64().unwrap_or(f64::NAN)
}

/// A result that every exporter has.
struct Figure<'a> {
    what: &'a str,
    budget: &'a str,
    limit: f64,
    text: fn(f64) -> String,
}

impl<'a> Figure<'a> {
    /// `limit` is NaN if there is no budget.
    fn new(what: &'a str, budget: &'a str, limit: f64, text: fn(f64) -> String) -> Self {
        Self { what, budget, limit, text }
    }

    fn row(&self, report: &Value, read: impl Fn(&Value) -> f64) -> Row {
        let ours = read(&report["glassbox"]);
        let peers = [("cAdvisor", "cadvisor"), ("node_exporter", "node_exporter")];
        let peers = peers.into_iter().filter_map(|(name, key)| Some((name, read(report.get(key)?))));
        let peers: Vec<_> = peers.map(|(name, figure)| format!("{name} {}", (self.text)(figure))).collect();
        Row {
            what: self.what.to_owned(),
            budget: self.budget.to_owned(),
            glassbox: (self.text)(ours),
            peer: if peers.is_empty() { "none is installed".into() } else { peers.join(", ") },
            verdict: if self.limit.is_nan() { Verdict::None } else { Verdict::at_most(ours, self.limit) },
        }
    }
}

/// CPU time of the thread of the collector `facefusion`.
fn facefusion(report: &Value, containers: &str, limit: f64) -> anyhow::Result<Row> {
    let ratio = report["glassbox"]["facefusion_ratio"].as_f64().context("find the thread's CPU time")?;
    Ok(Row {
        what: format!("CPU of the collector `facefusion`, 50 containers {containers}"),
        budget: format!("≤ {}", percent(limit)),
        glassbox: percent(ratio),
        peer: "no peer has such a collector".into(),
        verdict: Verdict::at_most(ratio, limit),
    })
}

/// Memory of the kernel maps. No peer has kernel maps.
fn maps(report: &Value) -> anyhow::Result<Row> {
    let bytes = report["glassbox"]["map_bytes"].as_f64().context("find the maps' memory")?;
    Ok(Row {
        what: "memory of kernel maps, for up to 256 containers".into(),
        budget: "≤ 16 MB".into(),
        glassbox: megabytes(bytes),
        peer: "no peer has maps".into(),
        verdict: Verdict::at_most(bytes, 16e6),
    })
}

/// Duration of the first scrape of a snapshot, of a repeated scrape, and of a compressed one.
fn scrapes(report: &Value, host: &str, limit_s: f64) -> anyhow::Result<[Row; 2]> {
    let ours = &report["glassbox"];
    let samples = ours["samples"].as_f64().context("count the samples")?;
    let bytes = ours["bytes"].as_f64().context("count the bytes")?;
    let fresh = format!("/metrics, {host}: first request of a snapshot, median");
    let fresh = Figure::new(&fresh, &format!("≤ {:.0} ms", limit_s * 1e3), limit_s, time)
        .row(report, |exporter| Samples::of(&exporter["fresh_s"]).median());
    let fresh = Row { what: format!("{} ({samples:.0} samples, {})", fresh.what, megabytes(bytes)), ..fresh };
    let worst = |exporter: &Value, name: &str| {
        let samples = Samples::of(&exporter[name]);
        format!("{} (p99 {})", time(samples.median()), time(samples.quantile(0.99)))
    };
    let again = |exporter: &Value| {
        format!("{}; gzip {}", worst(exporter, "burst_s"), worst(exporter, "burst_gzip_s"))
    };
    let peer = report.get("cadvisor").map(|exporter| format!("cAdvisor {}", again(exporter)));
    let again = Row {
        what: format!("/metrics, {host}: consecutive requests"),
        budget: String::new(),
        glassbox: again(ours),
        peer: peer.unwrap_or_else(|| "cAdvisor is not installed".into()),
        verdict: Verdict::None,
    };
    Ok([fresh, again])
}

/// Duration of a request for the page for people.
fn page(ours: &Value, host: &str) -> anyhow::Result<Row> {
    let samples = Samples::of(&ours["page_s"]);
    let bytes = ours["page_bytes"].as_f64().context("find the size of the page")?;
    Ok(Row {
        what: format!("the page at /, {host} ({})", megabytes(bytes)),
        budget: String::new(),
        glassbox: format!("{} (p99 {})", time(samples.median()), time(samples.quantile(0.99))),
        peer: "no peer has such a page".into(),
        verdict: Verdict::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_peers_are_omitted() {
        let report =
            serde_json::json!({ "glassbox": { "rss_bytes": 15e6 }, "cadvisor": { "rss_bytes": 41e6 } });
        let row = Figure::new("agent RSS", "≤ 20 MB", 20e6, megabytes).row(&report, rss);
        assert_eq!((row.glassbox.as_str(), row.peer.as_str()), ("15.0 MB", "cAdvisor 41.0 MB"));
        assert_eq!(row.verdict, Verdict::Met);
    }

    #[test]
    fn a_missing_result_misses_its_budget() {
        let row = Figure::new("agent RSS", "≤ 20 MB", 20e6, megabytes).row(&serde_json::json!({}), rss);
        assert_eq!(row.verdict, Verdict::Missed);
    }
}
