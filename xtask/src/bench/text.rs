//! Duration of encoding the text format, compared with the crate `prometheus`.

use anyhow::Context as _;

use super::run::Run;
use super::table::{Row, Verdict, time};
use crate::samples::Samples;

pub(super) fn rows(run: &Run) -> anyhow::Result<Vec<Row>> {
    let rounds = format!("--rounds={}", run.choose(500, 100));
    let report =
        run.measure("text format of 50 containers", "text-cost", &["--containers=50".into(), rounds])?;
    let samples = report["samples"].as_u64().context("count the samples")?;
    let median = |name: &str| Samples::of(&report[name]).median();
    Ok(vec![Row {
        what: format!("encode a snapshot of 50 containers ({samples} samples)"),
        budget: String::new(),
        glassbox: time(median("ours_s")),
        peer: format!("the crate `prometheus` {}", time(median("crate_s"))),
        verdict: Verdict::None,
    }])
}
