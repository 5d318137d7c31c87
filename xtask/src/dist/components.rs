//! The crates that are part of the agent: those of the agent itself, and those of the kernel programs that it embeds.
//!
//! cargo decides which crates these are (`cargo tree`, for the target of the release and with its features). Procedural macros
//! and build dependencies are not part of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use cargo_metadata::Metadata;

use super::release::Release;
use crate::child::{self, Limits};
use crate::workspace;

/// The target of the kernel programs.
const KERNEL: &str = "bpfel-unknown-none";

/// A crate.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) version: String,
    /// SPDX expression.
    pub(super) licence: Option<String>,
    pub(super) repository: Option<String>,
    /// SHA-256 of the crate's archive; none for the crates of this repository.
    pub(super) checksum: Option<String>,
    /// Directory with the sources.
    pub(super) sources: PathBuf,
    /// Names and versions of the crates that it uses.
    pub(super) uses: BTreeSet<(String, String)>,
}

/// The crates of a release, sorted by name and version. The agent is one of them.
pub(super) fn of(release: &Release) -> anyhow::Result<Vec<Component>> {
    let linked = linked(release)?;
    let mut query = workspace::cargo();
    query.args(["metadata", "--locked", "--format-version", "1"]);
    let text = child::output(&mut query, Limits::NONE).context("list the crates with cargo metadata")?;
    let metadata: Metadata = serde_json::from_str(&text).context("parse the output of cargo metadata")?;
    let checksums = checksums()?;
    let mut names = BTreeMap::new();
    for package in &metadata.packages {
        names.insert(&package.id, (package.name.to_string(), package.version.to_string()));
    }
    let mut uses: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        let found =
            node.dependencies.iter().filter_map(|id| names.get(id)).filter(|name| linked.contains(name));
        uses.insert(&node.id, found.cloned().collect());
    }
    let mut components = Vec::new();
    for package in &metadata.packages {
        let key = (package.name.to_string(), package.version.to_string());
        if !linked.contains(&key) {
            continue;
        }
        components.push(Component {
            licence: package.license.as_ref().map(|licence| licence.replace('/', " OR ")),
            repository: package.repository.clone(),
            checksum: checksums.get(&key).cloned(),
            sources: package.manifest_path.parent().map(PathBuf::from).unwrap_or_default(),
            uses: uses.remove(&package.id).unwrap_or_default(),
            name: key.0,
            version: key.1,
        });
    }
    anyhow::ensure!(
        components.len() == linked.len(),
        "cargo tree lists {} crates, of which cargo metadata describes {}",
        linked.len(),
        components.len()
    );
    components.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(components)
}

/// Names and versions of the crates in the agent and in its kernel programs.
fn linked(release: &Release) -> anyhow::Result<BTreeSet<(String, String)>> {
    let target = release.architecture.target();
    let mut linked = BTreeSet::new();
    for (package, target) in [("glassbox", target.as_str()), ("glassbox-ebpf", KERNEL)] {
        let mut tree = workspace::cargo();
        tree.args(["tree", "--locked", "--package", package, "--edges", "normal,no-proc-macro"]);
        tree.args(["--target", target, "--prefix", "none", "--format", "{p}"]);
        let text = child::output(&mut tree, Limits::NONE)
            .with_context(|| format!("list the crates of {package} for {target} with cargo tree"))?;
        linked.extend(text.lines().filter_map(parse_tree));
    }
    Ok(linked)
}

/// Name and version in `libc v0.2.191`, which may be followed by a path, `(*)` or both.
fn parse_tree(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    (!line.ends_with("(proc-macro)")).then(|| (name.to_owned(), version.to_owned()))
}

/// Checksums in Cargo.lock.
fn checksums() -> anyhow::Result<BTreeMap<(String, String), String>> {
    let path = workspace::root().join("Cargo.lock");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(parse_lock(&text))
}

fn parse_lock(text: &str) -> BTreeMap<(String, String), String> {
    let package = |paragraph: &str| {
        let value = |key: &str| {
            let line = paragraph.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
            Some(line.trim_matches('"').to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    };
    text.split("[[package]]").filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(name: &str, version: &str) -> (String, String) {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn lines_of_cargo_tree_have_a_name_and_a_version() {
        assert_eq!(parse_tree("libc v0.2.191"), Some(owned("libc", "0.2.191")));
        assert_eq!(parse_tree("glassbox v0.1.0 (/a b/agent) (*)"), Some(owned("glassbox", "0.1.0")));
        assert_eq!(parse_tree("aya-ebpf-macros v0.2.0 (proc-macro)"), None);
        assert_eq!(parse_tree(""), None);
    }

    #[test]
    fn a_lock_file_has_checksums_of_crates_from_a_registry() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0\"\nsource = \"x\"\nchecksum = \"ab\"\n\n\
                    [[package]]\nname = \"own\"\nversion = \"0.1\"\n";
        assert_eq!(parse_lock(lock), BTreeMap::from([(owned("a", "1.0"), "ab".to_owned())]));
    }
}
