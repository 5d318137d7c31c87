//! Files that are generated for a release: compressed copies, the changelog for Debian, the SBOM, and the licences of the crates.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};

use super::components;
use super::release::{REVISION, Release};
use super::{licences, sbom};
use crate::{debian, workspace};

/// Who packages and maintains glassbox.
pub(super) const MAINTAINER: &str = "The glassbox developers <glassbox@glassbox.invalid>";

/// A directory with generated files, of this process only. It is removed when the packages are built.
#[derive(Debug)]
pub(super) struct Staging {
    directory: PathBuf,
}

/// Generates the files that do not depend on the format of the package.
pub(super) fn prepare(release: &Release) -> anyhow::Result<Staging> {
    let directory = workspace::scratch().join(format!("dist-staging/{}", process::id()));
    debian::make_empty_dir(&directory)?;
    let staging = Staging { directory };
    let components = components::of(release)?;
    staging.write("sbom.cdx.json", sbom::document(release, &components)?.as_bytes())?;
    staging.write("third-party-licences.txt.gz", &compressed(licences::text(&components)?.as_bytes())?)?;
    staging.write("changelog.Debian.gz", &compressed(changelog(release)?.as_bytes())?)?;
    Ok(staging)
}

impl Staging {
    /// Path of a generated file.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Path of the SBOM.
    pub(super) fn sbom(&self) -> PathBuf {
        self.file("sbom.cdx.json")
    }

    /// Compresses a file of the repository, and returns the path of the result.
    pub(super) fn compress(&self, path: &str) -> anyhow::Result<PathBuf> {
        let source = workspace::root().join(path);
        let content = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
        let name =
            Path::new(path).file_name().context("find the name of a file")?.to_string_lossy().into_owned();
        self.write(&format!("{name}.gz"), &compressed(&content)?)
    }

    pub(super) fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // If this fails, the files take space until `target/xtask` is deleted.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Like `gzip -9n`: without a name and a time.
fn compressed(content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(content).context("compress")?;
    encoder.finish().context("compress")
}

fn changelog(release: &Release) -> anyhow::Result<String> {
    let (version, date) = (&release.version, release.rfc2822()?);
    Ok(format!(
        "glassbox ({version}-{REVISION}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- {MAINTAINER}  {date}\n"
    ))
}
