//! Modules of the agent import only from layers below. [`LAYERS`] lists the layers; the sources in `agent/src` are checked
//! against it.
//!
//! A module counts as one with its submodules, so `nvml.rs` and `nvml/session.rs` may import each other. Tests are exempt.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

mod modules;

use modules::{Import, Modules, is_within};

/// The top-level modules from bottom to top. Modules of the same layer may not import each other.
const LAYERS: &[&[&str]] = &[
    &["config", "snapshot", "version", "log_output", "deadline"],
    &["kernel"],
    &["containers"],
    &["collectors"],
    &["analysis"],
    &["exposition"],
    &["server"],
    &["sandbox", "start"],
    &["tick"],
    &["check", "health", "run"],
    &["cli"],
];

fn layer_of(module: &str) -> Option<usize> {
    let top = module.split("::").next()?;
    LAYERS.iter().position(|layer| layer.contains(&top))
}

/// The reason for which an import is not allowed.
fn refusal(import: &Import) -> Option<String> {
    let Import { from, to } = import;
    let tops = [from, to].map(|module| module.split("::").next().unwrap_or_default());
    let Some(from_layer) = layer_of(from) else { return Some(format!("{from} has no layer in LAYERS")) };
    let Some(to_layer) = layer_of(to) else { return Some(format!("{to} has no layer in LAYERS")) };
    if tops[0] != tops[1] && to_layer >= from_layer {
        return Some(format!("{from} imports {to}, which is not in a layer below"));
    }
    let collector = |module: &str| {
        let name = module.strip_prefix("collectors::")?.split("::").next()?;
        glassbox::collectors::COLLECTORS.iter().any(|spec| spec.name == name).then(|| name.to_owned())
    };
    let (ours, theirs) = (collector(from), collector(to));
    if ours.is_some() && theirs.is_some() && ours != theirs {
        return Some(format!("{from} imports {to}: no collector uses another one's internals"));
    }
    None
}

fn refusals(modules: &Modules) -> Vec<String> {
    let mut refusals: Vec<String> = modules.imports().iter().filter_map(refusal).collect();
    refusals.extend(modules.circle().map(|circle| format!("a circle of imports: {}", circle.join(" → "))));
    refusals
}

#[test]
fn modules_import_only_from_layers_below_and_never_in_a_circle() {
    let modules = Modules::read(concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref());
    assert!(modules.imports().len() > 300, "only {} imports were found", modules.imports().len());
    let refusals = refusals(&modules);
    assert!(refusals.is_empty(), "{}", refusals.join("\n"));
}

#[test]
fn every_module_of_lib_rs_has_a_layer() {
    let modules = Modules::read(concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref());
    for name in LAYERS.iter().copied().flatten() {
        assert!(modules.names().any(|module| module == *name), "{name}");
    }
    for name in modules.names().filter(|name| !name.is_empty()) {
        assert!(layer_of(name).is_some(), "{name} has no layer in LAYERS");
    }
}

#[test]
fn an_import_from_a_layer_above_is_refused_with_both_names() {
    for (text, refused) in [
        ("use crate::tick::Engine;", Some("tick")),
        ("use crate::{config::Config, server::{self, cache::Cache}};", Some("server")),
        ("pub use crate::collectors::{Collector, nvml::SPEC};", Some("collectors")),
        ("fn read() { crate::server::cache::read() }", Some("server::cache")),
        ("use super::kernel as config;", None),
        ("use std::server::Cache;", None),
        ("#[cfg(test)] mod tests { use crate::server::Cache; }", None),
        ("// use crate::server::Cache;", None),
    ] {
        let modules = Modules::of(&[
            ("kernel", ""),
            ("config", ""),
            ("collectors", ""),
            ("server", ""),
            ("server::cache", ""),
            ("tick", ""),
            ("containers", text),
        ]);
        let found = refusals(&modules);
        let expected: Vec<String> = refused
            .iter()
            .map(|to| format!("containers imports {to}, which is not in a layer below"))
            .collect();
        assert_eq!(found.first(), expected.first(), "{text}");
    }
}

#[test]
fn circles_and_imports_between_collectors_are_refused() {
    let circle = Modules::of(&[
        ("kernel", ""),
        ("kernel::attach", "use super::functions::Group;"),
        ("kernel::functions", "use super::record;"),
        ("kernel::record", "use crate::kernel::attach::Hook;"),
    ]);
    let refused = refusals(&circle);
    assert_eq!(refused.len(), 1, "{refused:?}");
    for module in ["kernel::attach", "kernel::functions", "kernel::record"] {
        assert!(refused[0].contains(module), "{refused:?}");
    }
    let split = Modules::of(&[("kernel", "use self::maps::Map;"), ("kernel::maps", "use super::Kernel;")]);
    assert_eq!(refusals(&split), [""; 0]);
    let nosy = Modules::of(&[
        ("collectors", ""),
        ("collectors::nvml", "use crate::collectors::disk::walk;"),
        ("collectors::disk", ""),
        ("collectors::disk::walk", ""),
    ]);
    let refused = refusals(&nosy);
    assert!(refused.len() == 1 && refused[0].contains("another one's internals"), "{refused:?}");
    assert!(is_within("kernel::maps", "kernel") && !is_within("kernels", "kernel"));
}
