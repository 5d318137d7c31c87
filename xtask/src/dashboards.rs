//! `cargo xtask dashboards`: the Grafana dashboards, written from here to dashboards/.
//!
//! Grafana's classic JSON, which every Grafana since 9 imports and provisions. What the panels have in common
//! is said once in `panel`, queries in `promql`, dashboards in `board`; one more dashboard is one more file beside
//! `overview` and one more row in `ALL`.

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

/// Name of the file in dashboards/, and what makes it.
const ALL: [(&str, Make); 2] = [("overview", overview::dashboard), ("gpu", gpu::dashboard)];

/// Write the Grafana dashboards to dashboards/.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a file is not what would be written
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    for (name, make) in ALL {
        let path = workspace::root().join("dashboards").join(name).with_extension("json");
        let text = format!("{:#}\n", make());
        if arguments.check {
            let found = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            anyhow::ensure!(
                found == text,
                "{} is not what it is made from; type: cargo xtask dashboards",
                path.display()
            );
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
    fn the_dashboards_in_the_repository_are_what_they_are_made_from() {
        main(&Arguments { check: true }).unwrap();
    }
}
