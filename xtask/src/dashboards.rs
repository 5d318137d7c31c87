//! `cargo xtask dashboards` generates the Grafana dashboards in dashboards/en/ and dashboards/zh/.
//!
//! The format is Grafana's classic JSON, which Grafana 9 and later can import and provision. `panel`, `promql` and `board` have
//! the common parts of panels, queries and dashboards, and `zh.po` has the translations. To add a dashboard, add a file like
//! `overview` and a row in `ALL`.

mod agent;
mod board;
mod containers;
mod fleet;
mod gpu;
mod overview;
mod panel;
mod promql;
mod scheduler;
mod translation;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use self::{
    board::{Board, ENGLISH},
    translation::Translation,
};
use crate::workspace;

const ALL: [fn() -> Board; 6] = [
    overview::dashboard,
    containers::dashboard,
    gpu::dashboard,
    scheduler::dashboard,
    agent::dashboard,
    fleet::dashboard,
];
/// The languages with a catalog, by their tag.
const TRANSLATED: [&str; 1] = ["zh"];

/// Generate the Grafana dashboards in dashboards/.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a file is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    for (path, text) in all()? {
        if arguments.check {
            let found = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            anyhow::ensure!(found == text, "{} is out of date; run: cargo xtask dashboards", path.display());
        } else {
            let directory = path.parent().context("find the directory")?;
            fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// All files with their content.
fn all() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut files = in_language(ENGLISH, &mut Translation::default());
    for language in TRANSLATED {
        let catalog = workspace::root().join(format!("xtask/src/dashboards/{language}.po"));
        let mut translation = Translation::read(&catalog)?;
        files.extend(in_language(language, &mut translation));
        translation.finish(&catalog)?;
    }
    Ok(files)
}

fn in_language(language: &str, translation: &mut Translation) -> Vec<(PathBuf, String)> {
    let directory = workspace::root().join("dashboards").join(language);
    let file = |make: fn() -> Board| {
        let board = make();
        let path: &Path = board.name.as_ref();
        let path = directory.join(path).with_extension("json");
        let mut json = board.json(language);
        if language != ENGLISH {
            translation.apply(&mut json);
        }
        (path, format!("{json:#}\n"))
    };
    ALL.into_iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::{Arguments, main};

    #[test]
    fn the_dashboards_in_the_repository_are_up_to_date() {
        main(&Arguments { check: true }).unwrap();
    }
}
