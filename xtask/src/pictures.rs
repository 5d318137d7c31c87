//! `cargo xtask pictures` draws the dashboards with data of a running Prometheus, to look at them and for docs/dashboards.
//!
//! xtask/pictures has the page and the program that draw them, with the components of which Grafana consists (@grafana/ui) in
//! headless Chromium. It is not part of `cargo xtask test`: someone has to look at the pictures.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::{debian, debian::Conflicts, setup::installed, step, toolchain, workspace};

const BROWSER: &str = "chromium";
/// The browser, Grafana's font, and one with Chinese characters.
const PACKAGES: [&str; 3] = [BROWSER, "fonts-inter", "fonts-wqy-microhei"];
/// Time limit for all pictures.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Draw the dashboards as pictures, with data of a running Prometheus, such as that of `cargo xtask run --demo`.
///
/// State timelines and heatmaps are not drawn. Needs npm (Node.js 20 or later); installs Chromium and fonts.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Prometheus
    #[arg(long, default_value = "http://127.0.0.1:9090", value_name = "URL")]
    prometheus: String,
    /// The time range of the dashboards
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// The end of the time range in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS")]
    end: Option<u64>,
    /// The maximum height in pixels; what is below is cut off
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(200..=8000))]
    height: u32,
    /// Select this container only
    #[arg(long, default_value = ".+", hide_default_value = true, value_name = "NAME")]
    container: String,
    /// Draw only the panels with these titles, two in a row [default: all]
    #[arg(long, value_delimiter = ',', value_name = "TITLE,…")]
    panels: Vec<String>,
    /// Name the file LANGUAGE-NAME.webp [default: the dashboard's name]
    #[arg(long, requires = "panels", value_name = "NAME")]
    name: Option<String>,
    /// The directory for the pictures
    #[arg(long, default_value = "target/xtask/pictures/drawn", value_name = "DIRECTORY")]
    into: PathBuf,
    /// The language and the name of dashboards, such as en/overview [default: all]
    #[arg(value_name = "DASHBOARD")]
    dashboards: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    install()?;
    let sources = workspace::root().join("xtask/pictures");
    let what = json!({
        "libraries": workspace::scratch().join("pictures"),
        "dashboards": workspace::root().join("dashboards"),
        "pictures": workspace::root().join(&arguments.into),
        "prometheus": arguments.prometheus.trim_end_matches('/'),
        "end_s": arguments.end.map_or_else(now_s, Ok)?,
        "seconds": arguments.minutes * 60,
        "height": arguments.height,
        "container": arguments.container,
        "panels": arguments.panels,
        "name": arguments.name,
        "only": arguments.dashboards,
    });
    let mut draw = Command::new("node");
    draw.arg(sources.join("draw.mjs")).arg(what.to_string());
    step::run_within(&format!("draw the dashboards into {}", arguments.into.display()), &mut draw, TIMEOUT)
}

#[expect(clippy::disallowed_methods, reason = "Prometheus' times are those of the wall clock")]
fn now_s() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?.as_secs())
}

fn install() -> anyhow::Result<()> {
    if debian::distribution().is_some() {
        debian::install("browser and fonts", &PACKAGES, Conflicts::Refuse)?;
    }
    ensure!(toolchain::in_path(BROWSER).is_some(), "{BROWSER} is not in PATH; install Chromium");
    installed::ensure_npm("Grafana's components", "pictures", "xtask/pictures", true)
}
