//! Translates dashboards with a gettext catalog, which translators can edit with the usual tools.
//!
//! The English texts of this program are the keys. A text without a translation is an error, and so is a translation that no
//! dashboard uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Context as _;
use serde_json::Value;

/// The members with a text, wherever they are.
const TEXTS: [&str; 7] =
    ["title", "description", "label", "legendFormat", "content", "noValue", "titleFormat"];

/// The translations into one language.
#[derive(Debug, Default)]
pub(super) struct Translation {
    texts: BTreeMap<String, String>,
    used: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl Translation {
    /// Reads a catalog.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let catalog = polib::po_file::parse(file)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("read the translations in {}", file.display()))?;
        let messages = catalog.messages().filter(|message| message.is_translated() && !message.is_fuzzy());
        let texts =
            messages.filter_map(|message| Some((message.msgid().into(), message.msgstr().ok()?.into())));
        Ok(Self { texts: texts.collect(), ..Self::default() })
    }

    /// Translates all texts of a dashboard.
    pub(super) fn apply(&mut self, dashboard: &mut Value) {
        self.walk(dashboard, "", false);
    }

    /// Fails if a text had no translation, or a translation no text.
    pub(super) fn finish(self, file: &Path) -> anyhow::Result<()> {
        let entry = |text: &String| format!("msgid {text:?}\nmsgstr \"\"\n");
        let missing: Vec<_> = self.missing.iter().map(entry).collect();
        anyhow::ensure!(
            missing.is_empty(),
            "{} lacks {} translations. Add:\n\n{}",
            file.display(),
            missing.len(),
            missing.join("\n")
        );
        let unused: Vec<_> = self.texts.keys().filter(|text| !self.used.contains(*text)).collect();
        anyhow::ensure!(
            unused.is_empty(),
            "{}: remove what no dashboard contains: {unused:#?}",
            file.display()
        );
        Ok(())
    }

    fn walk(&mut self, value: &mut Value, parent: &str, in_mappings: bool) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, parent, in_mappings)),
            Value::Object(members) => {
                let is_annotation = members.contains_key("iconColor");
                for (key, member) in members {
                    let is_text = TEXTS.contains(&key.as_str())
                        || (parent == "matcher" && key == "options")
                        || parent == "renameByName"
                        || (in_mappings && key == "text")
                        || (is_annotation && key == "name");
                    match member {
                        Value::String(text) if is_text => self.translate(text),
                        other => self.walk(other, key, in_mappings || key == "mappings"),
                    }
                }
            }
            _ => {}
        }
    }

    fn translate(&mut self, text: &mut String) {
        if !has_words(text) {
            return;
        }
        if let Some(translated) = self.texts.get(text) {
            self.used.insert(text.clone());
            text.clone_from(translated);
        } else {
            self.missing.insert(text.clone());
        }
    }
}

/// Whether a text consists of more than labels in braces.
fn has_words(text: &str) -> bool {
    let outside = text.split("{{").map(|part| part.rsplit("}}").next().unwrap_or_default());
    outside.into_iter().any(|part| part.contains(char::is_alphabetic))
}

#[cfg(test)]
mod tests;
