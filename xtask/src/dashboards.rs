//! `cargo xtask dashboards` generates the Grafana dashboards in dashboards/.
//!
//! The format is Grafana's classic JSON, which Grafana 9 and later can import and provision. `panel`, `promql` and `board` have
//! the common parts of panels, queries and dashboards. To add a dashboard, add a file like `overview` and a row in `ALL`.

mod board;
mod gpu;
mod overview;
mod panel;
mod promql;

use std::fs;

use anyhow::Context as _;
use serde_json::Value;

use crate::workspace;

type Make = fn() -> Value;

/// File name without extension, and the function that makes the dashboard.
const ALL: [(&str, Make); 2] = [("overview", overview::dashboard), ("gpu", gpu::dashboard)];

/// Generate the Grafana dashboards in dashboards/.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a file is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    for (name, make) in ALL {
        let path = workspace::root().join("dashboards").join(name).with_extension("json");
        let text = format!("{:#}\n", make());
        if arguments.check {
            let found = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            anyhow::ensure!(found == text, "{} is out of date; run: cargo xtask dashboards", path.display());
        } else {
            fs::create_dir_all(workspace::root().join("dashboards")).context("create dashboards/")?;
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Arguments, main};

    #[test]
    fn the_dashboards_in_the_repository_are_up_to_date() {
        main(&Arguments { check: true }).unwrap();
    }
}
