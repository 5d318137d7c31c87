//! The files of the packages. Each row of [`ROWS`] has a file or a directory of the repository, or a generated file, and its
//! place on the host. To ship another file, add a row.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Format;
use super::release::Release;
use super::staging::Staging;
use crate::workspace;

const ALL: &[Format] = &[Format::Deb, Format::Rpm, Format::Tar];
const DEB: &[Format] = &[Format::Deb];
const RPM_TAR: &[Format] = &[Format::Rpm, Format::Tar];

/// Where the content of a file comes from.
enum Source {
    /// The agent.
    Agent,
    /// A file of the repository.
    File(&'static str),
    /// The files with this extension in a directory of the repository, and in its directories.
    Files(&'static str, &'static str),
    /// A file of the repository, compressed.
    Compressed(&'static str),
    /// A file that [`Staging`] generates.
    Generated(&'static str),
}
use Source::{Agent, Compressed, File, Files, Generated};

/// Each file, its place without the leading slash, and the packages that have it. A place that ends with a slash is a
/// directory.
const ROWS: &[(Source, &str, &[Format])] = &[
    (Agent, "usr/bin/", ALL),
    (File("systemd/agent.toml"), "etc/glassbox/", ALL),
    (File("systemd/glassbox.default"), "etc/default/glassbox", ALL),
    (File("systemd/glassbox.service"), "usr/lib/systemd/system/", ALL),
    (Compressed("deploy/packages/man/glassbox.1"), "usr/share/man/man1/", ALL),
    (Compressed("deploy/packages/man/glassbox-check.1"), "usr/share/man/man1/", ALL),
    (Compressed("deploy/packages/man/glassbox-config.1"), "usr/share/man/man1/", ALL),
    (Compressed("deploy/packages/man/glassbox-health.1"), "usr/share/man/man1/", ALL),
    (Compressed("deploy/packages/man/glassbox-run.1"), "usr/share/man/man1/", ALL),
    (Compressed("deploy/packages/man/glassbox.5"), "usr/share/man/man5/", ALL),
    (
        File("deploy/packages/completions/glassbox.bash"),
        "usr/share/bash-completion/completions/glassbox",
        ALL,
    ),
    (File("deploy/packages/completions/_glassbox"), "usr/share/zsh/site-functions/", RPM_TAR),
    // Debian's zsh reads another directory.
    (File("deploy/packages/completions/_glassbox"), "usr/share/zsh/vendor-completions/", DEB),
    (File("deploy/packages/completions/glassbox.fish"), "usr/share/fish/vendor_completions.d/", ALL),
    (Files("dashboards", "json"), "usr/share/glassbox/dashboards/", ALL),
    (File("dashboards/alerts.yml"), "usr/share/glassbox/prometheus/", ALL),
    (File("dashboards/recording.yml"), "usr/share/glassbox/prometheus/", ALL),
    (File("dashboards/alertmanager.yml"), "usr/share/glassbox/prometheus/", ALL),
    (File("README.md"), "usr/share/doc/glassbox/", ALL),
    (File("README.zh-CN.md"), "usr/share/doc/glassbox/", ALL),
    (Files("docs", "md"), "usr/share/doc/glassbox/docs/", ALL),
    (Files("docs", "png"), "usr/share/doc/glassbox/docs/", ALL),
    (Files("docs", "webp"), "usr/share/doc/glassbox/docs/", ALL),
    // Debian's policy has this name.
    (Compressed("CHANGELOG.md"), "usr/share/doc/glassbox/changelog.gz", ALL),
    (Generated("changelog.Debian.gz"), "usr/share/doc/glassbox/", DEB),
    (Generated("sbom.cdx.json"), "usr/share/doc/glassbox/", ALL),
    (Generated("third-party-licences.txt.gz"), "usr/share/doc/glassbox/", ALL),
    (File("deploy/packages/deb/copyright"), "usr/share/doc/glassbox/", DEB),
    (File("deploy/packages/deb/lintian-overrides"), "usr/share/lintian/overrides/glassbox", DEB),
    (File("LICENSE-MIT"), "usr/share/licenses/glassbox/", RPM_TAR),
    (File("LICENSE-APACHE"), "usr/share/licenses/glassbox/", RPM_TAR),
];

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packaged {
    /// Path on the host, without the leading slash.
    pub(super) path: String,
    /// The file with the content.
    pub(super) source: PathBuf,
    pub(super) mode: u32,
}

impl Packaged {
    /// Whether upgrades must keep the user's changes.
    pub(super) fn is_configuration(&self) -> bool {
        self.path.starts_with("etc/")
    }
}

/// The files of a package, sorted by path.
pub(super) fn of(format: Format, release: &Release, staging: &Staging) -> anyhow::Result<Vec<Packaged>> {
    let mut files = Vec::new();
    for (source, place, formats) in ROWS {
        if !formats.contains(&format) {
            continue;
        }
        let mut add = |source: PathBuf, name: &str, mode| {
            let path = if place.ends_with('/') { format!("{place}{name}") } else { (*place).to_owned() };
            files.push(Packaged { path, source, mode });
        };
        match source {
            Agent => add(release.agent.clone(), "glassbox", 0o755),
            File(path) => add(workspace::root().join(path), file_name(path), 0o644),
            Compressed(path) => {
                let name = format!("{}.gz", file_name(path));
                add(staging.compress(path)?, &name, 0o644);
            }
            Generated(name) => add(staging.file(name), name, 0o644),
            Files(directory, extension) => {
                let root = workspace::root().join(directory);
                for (name, path) in below(&root, extension)? {
                    add(path, &name, 0o644);
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The files with an extension in a directory and its directories, with their paths relative to it.
fn below(root: &Path, extension: &str) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("list {}", directory.display()))?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|found| found == extension)
                && let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str)
            {
                files.push((name.to_owned(), path.clone()));
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_of_a_packaged_document_is_packaged() {
        let docs = workspace::root().join("docs");
        let packaged: Vec<_> = ROWS
            .iter()
            .filter_map(
                |(source, _, _)| if let Files("docs", extension) = source { Some(*extension) } else { None },
            )
            .flat_map(|extension| below(&docs, extension).unwrap())
            .map(|(_, path)| path)
            .collect();
        let readmes = ["README.md", "README.zh-CN.md"].map(|name| workspace::root().join(name));
        let documents = packaged.iter().filter(|path| path.extension().is_some_and(|found| found == "md"));
        let mut seen = 0;
        for document in documents.chain(&readmes) {
            let text = fs::read_to_string(document).unwrap();
            for picture in text.split("![").skip(1) {
                let picture = picture.split_once("](").unwrap().1.split(')').next().unwrap();
                let path = document.parent().unwrap().join(picture);
                assert!(packaged.contains(&path), "{}: {picture} is not packaged", document.display());
                seen += 1;
            }
        }
        assert!(seen > 5, "only {seen} pictures");
    }
}
