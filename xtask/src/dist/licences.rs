//! The licences of the crates in the agent. Each text appears once, after the crates that come with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::components::Component;

/// Beginnings of the names of files with licences or notices, in upper case.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

pub(super) fn text(components: &[Component]) -> anyhow::Result<String> {
    let mut crates_by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for component in components.iter().filter(|component| component.checksum.is_some()) {
        let name = format!("{} {}", component.name, component.version);
        let licence = component.licence.as_deref().unwrap_or("see its licence file");
        list += &format!("{name}: {licence}\n");
        for text in texts(&component.sources)? {
            crates_by_text.entry(text).or_default().push(name.clone());
        }
    }
    // By name, so that a changed text moves nothing else.
    let mut texts: Vec<_> = crates_by_text.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort();
    let mut out = format!("glassbox contains these crates, under these licences:\n\n{list}");
    for (names, text) in texts {
        out += &format!("\n{}\n{}\n\n{}\n", "-".repeat(80), names.join(", "), text.trim());
    }
    Ok(out)
}

/// The texts in a directory of sources, without differences in line ends.
fn texts(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    let is_licence = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_uppercase()).unwrap_or_default();
        path.is_file() && NAMES.iter().any(|licence| name.starts_with(licence))
    };
    let mut paths: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_licence(path)).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let text = String::from_utf8_lossy(&content);
        Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
    };
    paths.iter().map(read).collect()
}
