//! The modules of a crate and their imports, read from the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{Attribute, Item, ItemMod, UseTree, visit::Visit};

/// A module that uses an item of another module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Modules by path without `crate::` (the crate root is the empty path), with the paths that each module uses.
pub(crate) struct Modules(BTreeMap<String, Vec<Vec<String>>>);

impl Modules {
    /// Reads `lib.rs` in `sources` and all modules that it declares, except test modules.
    pub(crate) fn read(sources: &Path) -> Self {
        let mut modules = Self(BTreeMap::new());
        modules.add_file(sources, "", &sources.join("lib.rs"));
        modules
    }

    /// Makes modules from pairs of path and source text.
    pub(crate) fn of(texts: &[(&str, &str)]) -> Self {
        let mut modules = Self(BTreeMap::new());
        for (path, text) in texts {
            modules.add(path, &syn::parse_file(text).unwrap());
        }
        modules
    }

    fn add_file(&mut self, sources: &Path, module: &str, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for child in self.add(module, &syn::parse_file(&text).unwrap()) {
            let path = join(module, &child);
            let file = sources.join(path.replace("::", "/")).with_extension("rs");
            self.add_file(sources, &path, &file);
        }
    }

    /// Adds a file. Returns the modules that it declares in other files.
    fn add(&mut self, module: &str, file: &syn::File) -> Vec<String> {
        let mut paths = Paths { module: split(module), found: Vec::new(), files: Vec::new() };
        paths.visit_file(file);
        self.0.insert(module.to_owned(), paths.found);
        paths.files
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Imports between modules. Imports between a module and its submodules are left out.
    pub(crate) fn imports(&self) -> BTreeSet<Import> {
        let mut imports = BTreeSet::new();
        for (from, paths) in &self.0 {
            // The longest prefix of the path that is a module. The rest is an item.
            let module = |path: &Vec<String>| {
                let parts = (1..=path.len()).rev().map(|length| path[..length].join("::"));
                parts.into_iter().find(|part| self.0.contains_key(part))
            };
            for to in paths.iter().filter_map(module) {
                if !is_within(&to, from) && !is_within(from, &to) {
                    imports.insert(Import { from: from.clone(), to });
                }
            }
        }
        imports
    }

    /// Modules that import each other in a circle, in the order of the imports.
    pub(crate) fn circle(&self) -> Option<Vec<String>> {
        let mut left = self.imports();
        // A module that imports none of the others, or that none of the others imports, is not in a circle.
        loop {
            let is_in = |import: &Import| {
                left.iter().any(|other| other.from == import.to)
                    && left.iter().any(|other| other.to == import.from)
            };
            let kept: BTreeSet<Import> = left.iter().filter(|import| is_in(import)).cloned().collect();
            if kept.len() == left.len() {
                break;
            }
            left = kept;
        }
        let mut circle = vec![left.first()?.from.clone()];
        loop {
            let next = left.iter().find(|import| Some(&import.from) == circle.last())?.to.clone();
            if let Some(start) = circle.iter().position(|module| *module == next) {
                circle.drain(..start);
                circle.push(next);
                return Some(circle);
            }
            circle.push(next);
        }
    }
}

/// Whether `module` is `of` or one of its submodules.
pub(crate) fn is_within(module: &str, of: &str) -> bool {
    of.is_empty() || module.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn split(path: &str) -> Vec<String> {
    path.split("::").filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
}

fn join(module: &str, child: &str) -> String {
    [module, child].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("::")
}

/// Collects the paths that refer to this crate.
struct Paths {
    module: Vec<String>,
    found: Vec<Vec<String>>,
    files: Vec<String>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let mut module = self.module.clone();
        let rest = match path.first().map(String::as_str) {
            Some("crate") => {
                module.clear();
                &path[1..]
            }
            Some("self") => &path[1..],
            Some("super") => {
                let up = path.iter().take_while(|part| *part == "super").count();
                module.truncate(module.len().saturating_sub(up));
                &path[up..]
            }
            _ => return,
        };
        module.extend(rest.iter().cloned());
        self.found.push(module);
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |part: &syn::Ident| [before, &[part.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => self.add(before),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl Visit<'_> for Paths {
    fn visit_item(&mut self, item: &Item) {
        let attributes = match item {
            Item::Mod(ItemMod { attrs, .. }) => attrs.as_slice(),
            Item::Use(import) => &import.attrs,
            _ => &[],
        };
        if attributes.iter().any(is_test) {
            return;
        }
        match item {
            Item::Use(import) => self.add_tree(&[], &import.tree),
            Item::Mod(ItemMod { content: None, ident, .. }) => self.files.push(ident.to_string()),
            _ => syn::visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&parts);
        syn::visit::visit_path(self, path);
    }
}

/// `#[cfg(test)]`
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
}
